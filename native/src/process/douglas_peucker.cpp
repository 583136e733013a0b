// A stack of stretches replaces the recursion.
#include "process/douglas_peucker.hpp"

#include <algorithm>

namespace geojepa {

double squared_distance_to_segment(EastNorth point, EastNorth from, EastNorth to) {
    const double along_e = to.east_m - from.east_m;
    const double along_n = to.north_m - from.north_m;
    const double to_e = point.east_m - from.east_m;
    const double to_n = point.north_m - from.north_m;
    const double length2 = along_e * along_e + along_n * along_n;
    const double dot = to_e * along_e + to_n * along_n;
    const double share = length2 > 0 ? std::clamp(dot / length2, 0.0, 1.0) : 0.0;
    const double off_e = to_e - share * along_e;
    const double off_n = to_n - share * along_n;
    return off_e * off_e + off_n * off_n;
}

void DouglasPeucker::keep_between(std::span<const EastNorth> chain, std::size_t from, std::size_t to,
                                  std::span<std::uint8_t> keep) {
    stretches_.assign(1, {from, to});
    while (!stretches_.empty()) {
        const auto [first, last] = stretches_.back();
        stretches_.pop_back();
        double farthest = tolerance_m_ * tolerance_m_;
        std::size_t split = first;
        for (std::size_t at = first + 1; at < last; ++at) {
            const double distance = squared_distance_to_segment(chain[at], chain[first], chain[last]);
            if (distance > farthest) {
                farthest = distance;
                split = at;
            }
        }
        if (split != first) {
            keep[split] = 1;
            stretches_.emplace_back(first, split);
            stretches_.emplace_back(split, last);
        }
    }
}

void DouglasPeucker::keep_between_anchors(std::span<const EastNorth> chain, std::span<std::uint8_t> keep) {
    std::size_t previous = 0;
    for (std::size_t at = 1; at < chain.size(); ++at) {
        if (keep[at] != 0) {
            keep_between(chain, previous, at, keep);
            previous = at;
        }
    }
}

}  // namespace geojepa
