// Geometry between an object and its pieces: rings, polygons, and parts by tile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "clip/grid.hpp"
#include "columns/schema.hpp"

namespace geojepa {

/// A closed ring that does not repeat its first point.
using Ring = std::vector<Point>;

Ring to_ring(std::span<const Position> positions);

/// An outer ring, counter-clockwise once oriented, then its holes, clockwise.
struct Polygon {
    std::vector<Ring> rings;
};

/// Twice the signed area of a ring, positive where it is counter-clockwise.
double twice_area(std::span<const Point> ring);

/// Reverses rings where necessary: the outer ring becomes counter-clockwise, holes clockwise.
void orient(Polygon& polygon);

/// A rectangle as a ring.
Ring rectangle_ring(const Bounds& bounds);

/// A rectangle of tiles that an area covers completely.
struct CoveredWindow {
    TileWindow tiles;
    /// 0 where the object itself is the area: its piece is marked as covering the tile. Where members of the object
    /// cover the tiles, its geometry there is the outline of the tile, once for each of these members.
    std::uint32_t outlines = 0;
};

/// A covered tile in which the object has parts too.
struct OutlinedTile {
    TileIndex tile;
    std::uint32_t outlines = 0;
};

/// The result of clipping: the parts of an object, each in one tile.
struct TiledParts {
    struct Part {
        TileIndex tile;
        schema::Role role;
        std::size_t first_point = 0;
        std::size_t last_point = 0;  ///< one past the last
    };

    std::vector<Part> parts;
    std::vector<Point> points;
    /// Without points, because there may be millions of these tiles.
    std::vector<CoveredWindow> covered;
    /// Sorted by row, then column. Tiles without parts are ignored.
    std::vector<OutlinedTile> outlined;

    bool empty() const { return parts.empty() && covered.empty(); }
    void clear() {
        parts.clear();
        points.clear();
        covered.clear();
        outlined.clear();
    }

    /// Begins a part.
    void open(TileIndex tile, schema::Role role) {
        parts.push_back({.tile = tile, .role = role, .first_point = points.size(), .last_point = points.size()});
    }
    /// Adds a point to the last part.
    void push(Point point) {
        points.push_back(point);
        parts.back().last_point = points.size();
    }
    /// Converts covered windows, which may overlap, into outlines. Must be called once, after all parts were added.
    void outline_covered();
    /// Adds the rings of a polygon as parts.
    void add_polygon(TileIndex tile, const Polygon& polygon);

    std::span<const Point> points_of(const Part& part) const {
        return std::span{points}.subspan(part.first_point, part.last_point - part.first_point);
    }
};

}  // namespace geojepa
