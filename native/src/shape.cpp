// Orientation and collection of rings.
#include "shape.hpp"

#include <algorithm>
#include <tuple>

namespace geojepa {

double twice_area(std::span<const Point> ring) {
    if (ring.empty()) {
        return 0;
    }
    // Relative to the first point, where coordinates are small enough to keep every digit.
    const Point origin = ring.front();
    double sum = 0;
    for (std::size_t i = 1; i + 1 < ring.size(); ++i) {
        const Point a = ring[i];
        const Point b = ring[i + 1];
        sum += (a.lon - origin.lon) * (b.lat - origin.lat) - (b.lon - origin.lon) * (a.lat - origin.lat);
    }
    return sum;
}

void orient(Polygon& polygon) {
    for (std::size_t i = 0; i < polygon.rings.size(); ++i) {
        Ring& ring = polygon.rings[i];
        if ((twice_area(ring) > 0) != (i == 0)) {
            std::reverse(ring.begin(), ring.end());
        }
    }
}

Ring outline_of(const Bounds& bounds) {
    return {{bounds.west, bounds.south},
            {bounds.east, bounds.south},
            {bounds.east, bounds.north},
            {bounds.west, bounds.north}};
}

void TiledParts::outline_covered(const Grid& grid) {
    if (covered.empty()) {
        return;
    }
    // Along each row of tiles, where rectangles and tiles with parts begin and end.
    struct Step {
        std::uint32_t y, x;
        std::int32_t rectangles, parts;
    };
    std::vector<Step> steps;
    for (const CoveredWindow& window : std::exchange(covered, {})) {
        for (std::uint32_t y = window.tiles.first.y; y <= window.tiles.last.y; ++y) {
            steps.push_back({y, window.tiles.first.x, 1, 0});
            steps.push_back({y, window.tiles.last.x + 1, -1, 0});
        }
    }
    for (const Part& part : parts) {
        steps.push_back({part.tile.y, part.tile.x, 0, 1});
        steps.push_back({part.tile.y, part.tile.x + 1, 0, -1});
    }
    std::sort(steps.begin(), steps.end(),
              [](const Step& a, const Step& b) { return std::tie(a.y, a.x) < std::tie(b.y, b.x); });
    std::int32_t rectangles = 0;
    std::int32_t with_parts = 0;
    for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
        const Step& step = steps[i];
        const Step& next = steps[i + 1];
        rectangles += step.rectangles;
        with_parts += step.parts;
        if (rectangles == 0 || (next.y == step.y && next.x == step.x)) {
            continue;
        }
        if (with_parts == 0) {
            covered.push_back({{{step.x, step.y}, {next.x - 1, step.y}}, static_cast<std::uint32_t>(rectangles)});
        } else {
            // One tile: each tile with parts has steps at both of its ends.
            for (std::int32_t outline = 0; outline < rectangles; ++outline) {
                add_polygon({step.x, step.y}, {{outline_of(grid.bounds({step.x, step.y}))}});
            }
        }
    }
}

void TiledParts::add_polygon(TileIndex tile, const Polygon& polygon) {
    for (std::size_t i = 0; i < polygon.rings.size(); ++i) {
        open(tile, i == 0 ? schema::Role::outer : schema::Role::inner);
        for (const Point point : polygon.rings[i]) {
            push(point);
        }
    }
}

}  // namespace geojepa
