// Orientation and collection of rings.
#include "shape.hpp"

#include <algorithm>

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
    for (const TileWindow& window : covered) {
        for (std::uint32_t y = window.first.y; y <= window.last.y; ++y) {
            for (std::uint32_t x = window.first.x; x <= window.last.x; ++x) {
                add_polygon({x, y}, {{outline_of(grid.bounds({x, y}))}});
            }
        }
    }
    covered.clear();
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
