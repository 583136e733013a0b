// 180 degrees are a whole number of units, so nothing is rounded.
#include "read/antimeridian.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>

#include "clip/repair.hpp"
#include "clip/split.hpp"

namespace geojepa {
namespace {

constexpr std::int32_t half_turn = 1'800'000'000;

void split_at_zero(const Polygon& polygon, std::vector<Polygon>& below, std::vector<Polygon>& above) {
    if (split(polygon, Axis::lon, 0, below, above)) {
        return;
    }
    const double south = -90 * units_per_degree;
    const double north = 90 * units_per_degree;
    std::ranges::move(intersect(polygon, {-half_turn, south, 0, north}), std::back_inserter(below));
    std::ranges::move(intersect(polygon, {0, south, half_turn, north}), std::back_inserter(above));
}

void move_by(std::vector<Polygon>& polygons, double lon) {
    for (Polygon& polygon : polygons) {
        for (Ring& ring : polygon.rings) {
            for (Point& point : ring) {
                point.lon += lon;
            }
        }
    }
}

}  // namespace

bool crosses_antimeridian(std::span<const Position> positions) {
    const auto jumps = [](Position a, Position b) { return std::abs(static_cast<double>(a.lon) - b.lon) > half_turn; };
    return std::adjacent_find(positions.begin(), positions.end(), jumps) != positions.end();
}

bool touches_antimeridian(std::span<const Position> positions) {
    return std::any_of(positions.begin(), positions.end(), [](Position p) { return std::abs(p.lon) == half_turn; });
}

std::vector<Position> turn_by_half(std::span<const Position> positions) {
    std::vector<Position> turned;
    turned.reserve(positions.size());
    for (const Position p : positions) {
        turned.push_back({p.lon < 0 ? p.lon + half_turn : p.lon - half_turn, p.lat});
    }
    return turned;
}

std::vector<Polygon> turn_back(const std::vector<Polygon>& polygons) {
    std::vector<Polygon> below;
    std::vector<Polygon> above;
    for (const Polygon& polygon : polygons) {
        split_at_zero(polygon, below, above);
    }
    move_by(below, half_turn);
    move_by(above, -half_turn);
    std::ranges::move(above, std::back_inserter(below));
    return below;
}

}  // namespace geojepa
