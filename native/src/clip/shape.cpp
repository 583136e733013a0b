// Orientation and collection of rings.
#include "clip/shape.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace geojepa {
namespace {

/// A place along a row of tiles at which rectangles, or tiles with parts, begin or end.
struct Step {
    std::uint32_t y, x;
    std::int32_t rectangles, parts;  // how many more there are from here on
};

std::vector<Step> steps_along_rows(const std::vector<CoveredWindow>& covered,
                                   const std::vector<TiledParts::Part>& parts) {
    std::vector<Step> steps;
    for (const auto& [tiles, outlines] : covered) {
        for (std::uint32_t y = tiles.first.y; y <= tiles.last.y; ++y) {
            steps.push_back({y, tiles.first.x, 1, 0});
            steps.push_back({y, tiles.last.x + 1, -1, 0});
        }
    }
    for (const TiledParts::Part& part : parts) {
        steps.push_back({part.tile.y, part.tile.x, 0, 1});
        steps.push_back({part.tile.y, part.tile.x + 1, 0, -1});
    }
    std::sort(steps.begin(), steps.end(),
              [](const Step& a, const Step& b) { return std::tie(a.y, a.x) < std::tie(b.y, b.x); });
    return steps;
}

}  // namespace

Ring to_ring(std::span<const Position> positions) {
    Ring ring;
    ring.reserve(positions.size());
    for (const Position p : positions) {
        ring.push_back({static_cast<double>(p.lon), static_cast<double>(p.lat)});
    }
    return ring;
}

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

void TiledParts::outline_covered() {
    if (covered.empty()) {
        return;
    }
    const std::vector<Step> steps = steps_along_rows(std::exchange(covered, {}), parts);
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
        const auto outlines = static_cast<std::uint32_t>(rectangles);
        if (with_parts == 0) {
            covered.push_back({{{step.x, step.y}, {next.x - 1, step.y}}, outlines});
        } else {
            outlined.push_back({{step.x, step.y}, outlines});  // one tile: those with parts have steps at both ends
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
