// Geometry on its way from an object to its pieces.
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

/// An outer ring (counter-clockwise), then its holes (clockwise).
struct Polygon {
    std::vector<Ring> rings;
};

/// Twice the signed area of a ring, positive where it is counter-clockwise.
double twice_area(std::span<const Point> ring);

/// Turns the rings of `polygon` the way they are to run.
void orient(Polygon& polygon);

/// A tile's edges as a ring.
Ring outline_of(const Bounds& bounds);

/// A rectangle of tiles, both ends included.
struct TileWindow {
    TileIndex first;
    TileIndex last;

    bool contains(TileIndex tile) const noexcept {
        return tile.x >= first.x && tile.x <= last.x && tile.y >= first.y && tile.y <= last.y;
    }
};

/// A rectangle of tiles that an area covers whole.
struct CoveredWindow {
    TileWindow tiles;
    /// 0 where the object itself is that area: the tile is marked. An object that is its members has the tile's outline
    /// as its geometry there instead, once for each member that covers it.
    std::uint32_t outlines = 0;
};

/// As above, for a tile in which the object has parts as well.
struct OutlinedTile {
    TileIndex tile;
    std::uint32_t outlines;
};

/// What clipping makes of objects: their parts, each in one tile.
struct TiledParts {
    struct Part {
        TileIndex tile;
        schema::Role role;
        std::size_t first_point;
        std::size_t last_point;
    };

    std::vector<Part> parts;
    std::vector<Point> points;
    /// They have no points here, for there may be millions of them.
    std::vector<CoveredWindow> covered;
    /// By row, then column. Tiles without parts are of no meaning here.
    std::vector<OutlinedTile> outlined;

    bool empty() const { return parts.empty() && covered.empty(); }
    void clear() {
        parts.clear();
        points.clear();
        covered.clear();
        outlined.clear();
    }

    /// Opens a part; the points pushed from now on are its own.
    void open(TileIndex tile, schema::Role role) { parts.push_back({tile, role, points.size(), points.size()}); }
    void push(Point point) {
        points.push_back(point);
        parts.back().last_point = points.size();
    }
    /// Turns covered tiles, which may overlap, into outlines; to be called once, when all parts are there.
    void outline_covered();
    void add_polygon(TileIndex tile, const Polygon& polygon);

    std::span<const Point> points_of(const Part& part) const {
        return std::span{points}.subspan(part.first_point, part.last_point - part.first_point);
    }
};

}  // namespace geojepa
