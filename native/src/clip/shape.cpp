// Areas and orientation of rings, and the sweep that turns covered windows into outlines.
#include "clip/shape.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace geojepa {
namespace {

/// A column of a row of tiles at which windows, or tiles with parts, begin or end.
struct Step {
    std::uint32_t y = 0;
    std::uint32_t x = 0;
    std::int32_t windows = 0;  ///< change of the number of windows
    std::int32_t parts = 0;    ///< change of the number of parts
};

std::vector<Step> steps_along_rows(const std::vector<CoveredWindow>& covered,
                                   const std::vector<TiledParts::Part>& parts) {
    std::vector<Step> steps;
    for (const auto& [tiles, outlines] : covered) {
        for (std::uint32_t y = tiles.first.y; y <= tiles.last.y; ++y) {
            steps.push_back({.y = y, .x = tiles.first.x, .windows = 1});
            steps.push_back({.y = y, .x = tiles.last.x + 1, .windows = -1});
        }
    }
    for (const TiledParts::Part& part : parts) {
        steps.push_back({.y = part.tile.y, .x = part.tile.x, .parts = 1});
        steps.push_back({.y = part.tile.y, .x = part.tile.x + 1, .parts = -1});
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
    // Relative to the first point, where coordinates are small enough for exact differences.
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

Ring rectangle_ring(const Bounds& bounds) {
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
    std::int32_t windows = 0;
    std::int32_t with_parts = 0;
    for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
        const Step& step = steps[i];
        const Step& next = steps[i + 1];
        windows += step.windows;
        with_parts += step.parts;
        if (windows == 0 || (next.y == step.y && next.x == step.x)) {
            continue;
        }
        const auto outlines = static_cast<std::uint32_t>(windows);
        if (with_parts == 0) {
            covered.push_back(
                {.tiles = {.first = {step.x, step.y}, .last = {next.x - 1, step.y}}, .outlines = outlines});
        } else {
            // One tile: a tile with parts has steps at both of its ends.
            outlined.push_back({.tile = {step.x, step.y}, .outlines = outlines});
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
