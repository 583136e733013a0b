// Recursively halves the tiles of an area along their longer side.
#include "clip/clip_area.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "clip/repair.hpp"
#include "clip/split.hpp"

namespace geojepa {
namespace {

Bounds extent_of(const std::vector<Polygon>& polygons) {
    Bounds extent{.west = 1e300, .south = 1e300, .east = -1e300, .north = -1e300};
    for (const Polygon& polygon : polygons) {
        for (const Point p : polygon.rings.front()) {
            extent = {
                .west = std::min(extent.west, p.lon),
                .south = std::min(extent.south, p.lat),
                .east = std::max(extent.east, p.lon),
                .north = std::max(extent.north, p.lat),
            };
        }
    }
    return extent;
}

/// The tiles that share more than an edge with `extent`.
std::optional<TileWindow> tiles_of(const Grid& grid, const Bounds& extent, const TileWindow& window) {
    TileWindow tiles{
        .first = {grid.column(extent.west), grid.row(extent.north)},
        .last = {grid.column(extent.east), grid.row(extent.south)},
    };
    if (tiles.last.x > tiles.first.x && grid.west_edge(tiles.last.x) >= extent.east) {
        --tiles.last.x;
    }
    if (tiles.last.y > tiles.first.y && grid.north_edge(tiles.last.y) <= extent.south) {
        --tiles.last.y;
    }
    if (tiles.first.y < tiles.last.y && grid.north_edge(tiles.first.y + 1) >= extent.north) {
        ++tiles.first.y;
    }
    tiles.first = {std::max(tiles.first.x, window.first.x), std::max(tiles.first.y, window.first.y)};
    tiles.last = {std::min(tiles.last.x, window.last.x), std::min(tiles.last.y, window.last.y)};
    if (tiles.first.x > tiles.last.x || tiles.first.y > tiles.last.y) {
        return std::nullopt;
    }
    return tiles;
}

Bounds bounds_of(const Grid& grid, const TileWindow& tiles) {
    const Bounds first = grid.bounds(tiles.first);
    const Bounds last = grid.bounds(tiles.last);
    return {.west = first.west, .south = last.south, .east = last.east, .north = first.north};
}

bool lies_within(const Bounds& inner, const Bounds& outer) {
    return inner.west >= outer.west && inner.east <= outer.east && inner.south >= outer.south &&
           inner.north <= outer.north;
}

/// Whether the polygons are exactly the rectangle `bounds`. Coordinates on split edges are exact, so `==` is safe.
bool fills(const std::vector<Polygon>& polygons, const Bounds& bounds) {
    if (polygons.size() != 1 || polygons.front().rings.size() != 1) {
        return false;
    }
    const Ring& ring = polygons.front().rings.front();
    const auto on_border = [&](Point p) {
        return p.lon == bounds.west || p.lon == bounds.east || p.lat == bounds.south || p.lat == bounds.north;
    };
    const double whole = 2 * (bounds.east - bounds.west) * (bounds.north - bounds.south);
    return std::all_of(ring.begin(), ring.end(), on_border) && twice_area(ring) >= whole * (1 - 1e-12);
}

class AreaClipper {
public:
    AreaClipper(const Grid& grid, TiledParts& out) : grid_(grid), out_(out) {}

    void clip(std::vector<Polygon> polygons, const TileWindow& window) {
        if (polygons.empty()) {
            return;
        }
        const Bounds extent = extent_of(polygons);
        const std::optional<TileWindow> tiles = tiles_of(grid_, extent, window);
        if (!tiles) {
            return;
        }
        const Bounds bounds = bounds_of(grid_, *tiles);
        if (fills(polygons, bounds)) {
            out_.covered.push_back({*tiles});
            return;
        }
        const bool one_tile = tiles->first == tiles->last;
        if (one_tile && lies_within(extent, bounds)) {
            for (const Polygon& polygon : polygons) {
                out_.add_polygon(tiles->first, polygon);
            }
            return;
        }
        // Cuts off what reaches past the window first, then halves.
        const Cut cut = choose_cut(extent, bounds, *tiles);
        std::vector<Polygon> below;
        std::vector<Polygon> above;
        for (const Polygon& polygon : polygons) {
            split_or_repair(polygon, cut, below, above);
        }
        polygons.clear();
        polygons.shrink_to_fit();
        clip(std::move(below), cut.below);
        clip(std::move(above), cut.above);
    }

    bool robust() const { return robust_; }

private:
    struct Cut {
        Axis axis = Axis::lon;
        double edge = 0;
        TileWindow below;
        TileWindow above;
    };

    static constexpr TileWindow no_tiles{.first = {1, 1}, .last = {0, 0}};

    Cut choose_cut(const Bounds& extent, const Bounds& bounds, const TileWindow& tiles) const {
        if (extent.west < bounds.west) {
            return {.axis = Axis::lon, .edge = bounds.west, .below = no_tiles, .above = tiles};
        }
        if (extent.east > bounds.east) {
            return {.axis = Axis::lon, .edge = bounds.east, .below = tiles, .above = no_tiles};
        }
        if (extent.south < bounds.south) {
            return {.axis = Axis::lat, .edge = bounds.south, .below = no_tiles, .above = tiles};
        }
        if (extent.north > bounds.north) {
            return {.axis = Axis::lat, .edge = bounds.north, .below = tiles, .above = no_tiles};
        }
        Cut cut{.below = tiles, .above = tiles};
        if (tiles.last.x - tiles.first.x >= tiles.last.y - tiles.first.y) {
            const std::uint32_t middle = tiles.first.x + (tiles.last.x - tiles.first.x + 1) / 2;
            cut.edge = grid_.west_edge(middle);
            cut.below.last.x = middle - 1;
            cut.above.first.x = middle;
        } else {
            const std::uint32_t middle = tiles.first.y + (tiles.last.y - tiles.first.y + 1) / 2;
            cut.axis = Axis::lat;
            cut.edge = grid_.north_edge(middle);
            cut.below.first.y = middle;
            cut.above.last.y = middle - 1;
        }
        return cut;
    }

    void split_or_repair(const Polygon& polygon, const Cut& cut, std::vector<Polygon>& below,
                         std::vector<Polygon>& above) {
        if (split(polygon, cut.axis, cut.edge, below, above)) {
            return;
        }
        robust_ = false;
        for (const Polygon& valid : make_valid(polygon.rings)) {
            if (!split(valid, cut.axis, cut.edge, below, above)) {
                overlay(valid, cut, below, above);
            }
        }
    }

    /// Splits by GEOS.
    static void overlay(const Polygon& polygon, const Cut& cut, std::vector<Polygon>& below,
                        std::vector<Polygon>& above) {
        const Bounds extent = extent_of({polygon});
        Bounds low = extent;
        Bounds high = extent;
        if (cut.axis == Axis::lon) {
            low.east = high.west = cut.edge;
        } else {
            low.north = high.south = cut.edge;
        }
        std::ranges::move(intersect(polygon, low), std::back_inserter(below));
        std::ranges::move(intersect(polygon, high), std::back_inserter(above));
    }

    const Grid& grid_;
    TiledParts& out_;
    bool robust_ = true;
};

}  // namespace

bool clip_area(const Grid& grid, const TileWindow& window, const Polygon& polygon, TiledParts& out) {
    AreaClipper clipper{grid, out};
    clipper.clip({polygon}, window);
    return clipper.robust();
}

}  // namespace geojepa
