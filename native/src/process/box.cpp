// Convex hull by Andrew's monotone chain, then rotating calipers.
#include "process/box.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>

namespace geojepa {
namespace {

EastNorth minus(EastNorth a, EastNorth b) {
    return {a.east_m - b.east_m, a.north_m - b.north_m};
}
double dot(EastNorth a, EastNorth b) {
    return a.east_m * b.east_m + a.north_m * b.north_m;
}
double cross(EastNorth a, EastNorth b) {
    return a.east_m * b.north_m - a.north_m * b.east_m;
}
EastNorth left_of(EastNorth direction) {
    return {-direction.north_m, direction.east_m};
}

EastNorth unit(EastNorth vector) {
    const double length = std::hypot(vector.east_m, vector.north_m);
    return {vector.east_m / length, vector.north_m / length};
}

}  // namespace

std::array<EastNorth, 4> TurnedBox::corners() const {
    const EastNorth normal = left_of(direction);
    const auto at = [&](double along, double across) {
        return EastNorth{along * direction.east_m + across * normal.east_m,
                         along * direction.north_m + across * normal.north_m};
    };
    return {at(back, right), at(front, right), at(front, left), at(back, left)};
}

std::vector<EastNorth> convex_hull(std::vector<EastNorth>& points) {
    const auto before = [](EastNorth a, EastNorth b) {
        return a.east_m != b.east_m ? a.east_m < b.east_m : a.north_m < b.north_m;
    };
    const auto same = [](EastNorth a, EastNorth b) { return a.east_m == b.east_m && a.north_m == b.north_m; };
    std::sort(points.begin(), points.end(), before);
    points.erase(std::unique(points.begin(), points.end(), same), points.end());
    if (points.size() < 3) {
        return points;
    }
    std::vector<EastNorth> hull;
    const auto extend = [&](EastNorth point, std::size_t least) {
        while (hull.size() >= least &&
               cross(minus(hull.back(), hull[hull.size() - 2]), minus(point, hull.back())) <= 0) {
            hull.pop_back();
        }
        hull.push_back(point);
    };
    for (const EastNorth point : points) {
        extend(point, 2);
    }
    const std::size_t lower = hull.size();
    for (std::size_t at = points.size() - 1; at-- > 0;) {
        extend(points[at], lower + 1);
    }
    hull.pop_back();
    return hull;
}

TurnedBox minimum_area_box(std::span<const EastNorth> hull, double turn_rad) {
    if (hull.size() == 1) {
        const EastNorth direction{std::cos(turn_rad), std::sin(turn_rad)};
        const double along = dot(hull.front(), direction);
        const double across = dot(hull.front(), left_of(direction));
        return {.direction = direction, .back = along, .front = along, .right = across, .left = across};
    }
    const std::size_t count = hull.size();
    const auto next = [&](std::size_t at) { return at + 1 < count ? at + 1 : 0; };
    TurnedBox best{};
    double best_area = std::numeric_limits<double>::infinity();
    std::size_t front = 1;
    std::size_t left = 1;
    std::size_t back = 1;
    for (std::size_t edge = 0; edge < count; ++edge) {
        const EastNorth direction = unit(minus(hull[next(edge)], hull[edge]));
        const EastNorth normal = left_of(direction);
        // Each caliper turns in the same direction as the edge, so it only moves forward around the hull.
        const auto advance = [&](std::size_t from, EastNorth towards) {
            std::size_t at = from;
            for (std::size_t step = 0; step < count && dot(minus(hull[next(at)], hull[at]), towards) > 0; ++step) {
                at = next(at);
            }
            return at;
        };
        front = advance(edge == 0 ? next(edge) : front, direction);
        left = advance(edge == 0 ? front : left, normal);
        back = advance(edge == 0 ? left : back, {-direction.east_m, -direction.north_m});
        const double width = dot(minus(hull[front], hull[back]), direction);
        const double height = dot(minus(hull[left], hull[edge]), normal);
        if (width * height < best_area) {
            best_area = width * height;
            best = {
                .direction = direction,
                .back = dot(hull[back], direction),
                .front = dot(hull[front], direction),
                .right = dot(hull[edge], normal),
                .left = dot(hull[left], normal),
            };
        }
    }
    return best;
}

bool grow_sides(TurnedBox& box, double min_side_m) {
    const double longer_by = std::max(0.0, min_side_m - box.length_m()) / 2;
    const double wider_by = std::max(0.0, min_side_m - box.width_m()) / 2;
    box.back -= longer_by;
    box.front += longer_by;
    box.right -= wider_by;
    box.left += wider_by;
    return longer_by > 0 || wider_by > 0;
}

double turn_of(schema::OsmType osm_type, std::int64_t osm_id) {
    // splitmix64 (Steele et al. 2014) gives neighbouring ids unrelated angles.
    std::uint64_t state = static_cast<std::uint64_t>(osm_id) * 4 + static_cast<std::uint64_t>(osm_type);
    state += 0x9E3779B97F4A7C15U;
    state = (state ^ (state >> 30U)) * 0xBF58476D1CE4E5B9U;
    state = (state ^ (state >> 27U)) * 0x94D049BB133111EBU;
    state ^= state >> 31U;
    return static_cast<double>(state >> 11U) * 0x1p-53 * (std::numbers::pi / 2);
}

StoredBox store_box(const TurnedBox& box, double metres_per_unit) {
    StoredBox corners{};
    std::size_t slot = 0;
    for (const EastNorth corner : box.corners()) {
        corners[slot++] = static_cast<float>(corner.east_m / metres_per_unit);
        corners[slot++] = static_cast<float>(corner.north_m / metres_per_unit);
    }
    std::size_t first = 0;
    for (std::size_t at = 1; at < 4; ++at) {
        const float x = corners[2 * at];
        const float y = corners[2 * at + 1];
        if (y < corners[2 * first + 1] || (y == corners[2 * first + 1] && x < corners[2 * first])) {
            first = at;
        }
    }
    std::rotate(corners.begin(), corners.begin() + static_cast<std::ptrdiff_t>(2 * first), corners.end());
    return corners;
}

}  // namespace geojepa
