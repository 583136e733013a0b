// Every change is kept only where it leaves fewer conflicts than before.
#include "process/ring_resolver.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace geojepa {
namespace {

/// Position in its ring at which an edge begins.
std::size_t first_of(std::span<const LatticePoint> ring, const RingSegment& segment) {
    return static_cast<std::size_t>(segment.stretch.data() - ring.data());
}

}  // namespace

std::vector<std::uint8_t> RingResolver::resolve(std::span<SimplifiedRing> rings, DouglasPeucker& simplifier) {
    std::size_t conflicts = count_conflicts(rings);
    while (conflicts > 0 && give_back(rings, simplifier)) {
        conflicts = count_conflicts(rings);
    }
    conflicts = nudge(rings, conflicts);
    conflicts = open_slivers(rings, conflicts);
    std::vector<std::uint8_t> crossing(rings.size(), 0);
    for (std::size_t at = 0; conflicts > 0 && at < segments_.size(); ++at) {
        crossing[segments_[at].ring] |= conflicts_[at];
    }
    return crossing;
}

/// Lists the current edges of the rings and marks those in conflict.
std::size_t RingResolver::count_conflicts(std::span<const SimplifiedRing> rings) {
    segments_.clear();
    for (std::uint32_t row = 0; row < rings.size(); ++row) {
        const SimplifiedRing& ring = rings[row];
        const std::size_t begin = segments_.size();
        std::size_t previous = 0;
        for (std::size_t at = 1; at < ring.keep.size(); ++at) {
            if (ring.keep[at] != 0) {
                segments_.push_back({
                    .line = {ring.lattice[previous], ring.lattice[at]},
                    .stretch = std::span{ring.lattice}.subspan(previous, at - previous + 1),
                    .ring = row,
                    .ordinal = static_cast<std::uint32_t>(segments_.size() - begin),
                });
                previous = at;
            }
        }
        for (std::size_t at = begin; at < segments_.size(); ++at) {
            segments_[at].ring_size = static_cast<std::uint32_t>(segments_.size() - begin);
        }
    }
    mark_conflicts(segments_, conflicts_);
    return static_cast<std::size_t>(std::count(conflicts_.begin(), conflicts_.end(), std::uint8_t{1}));
}

/// Gives every edge in conflict its farthest vertex back. Returns false where no edge has one left.
bool RingResolver::give_back(std::span<SimplifiedRing> rings, DouglasPeucker& simplifier) {
    bool changed = false;
    for (std::size_t row = 0; row < segments_.size(); ++row) {
        if (conflicts_[row] == 0) {
            continue;
        }
        SimplifiedRing& ring = rings[segments_[row].ring];
        const std::size_t from = first_of(ring.lattice, segments_[row]);
        const std::size_t to = from + segments_[row].stretch.size() - 1;
        const std::size_t split = farthest_between(ring.metres, ring.lattice, from, to);
        if (split != from) {
            // The two halves may lie farther from the stretch than the whole edge did.
            ring.keep[split] = 1;
            simplifier.keep_between(ring.metres, from, split, ring.keep);
            simplifier.keep_between(ring.metres, split, to, ring.keep);
            ring.refined = changed = true;
        }
    }
    return changed;
}

/// Moves vertices at conflicts by one step, or by two where one does not help, while that reduces the conflicts.
/// Returns the number of conflicts left.
std::size_t RingResolver::nudge(std::span<SimplifiedRing> rings, std::size_t conflicts) {
    // Rounding does not cause more than this.
    constexpr std::size_t max_conflicts = 16;
    static constexpr std::array<LatticePoint, 8> one_step{
        {{1, 0}, {0, 1}, {-1, 0}, {0, -1}, {1, 1}, {-1, 1}, {-1, -1}, {1, -1}}};
    // One step brings a needle that overlaps an edge only onto the edge.
    static constexpr std::array<LatticePoint, 4> two_steps{{{2, 0}, {0, 2}, {-2, 0}, {0, -2}}};
    while (conflicts > 0 && conflicts <= max_conflicts) {
        std::size_t left = nudge_one(rings, conflicts, one_step);
        if (left == conflicts) {
            left = nudge_one(rings, conflicts, two_steps);
        }
        if (left == conflicts) {
            count_conflicts(rings);
            break;
        }
        conflicts = left;
    }
    return conflicts;
}

/// Tries the steps on each vertex at a conflict until one reduces the conflicts. Returns the number left.
std::size_t RingResolver::nudge_one(std::span<SimplifiedRing> rings, std::size_t conflicts,
                                    std::span<const LatticePoint> steps) {
    std::vector<std::pair<std::uint32_t, std::size_t>> suspects;
    for (std::size_t row = 0; row < segments_.size(); ++row) {
        if (conflicts_[row] != 0) {
            const std::size_t from = first_of(rings[segments_[row].ring].lattice, segments_[row]);
            suspects.emplace_back(segments_[row].ring, from);
            suspects.emplace_back(segments_[row].ring, from + segments_[row].stretch.size() - 1);
        }
    }
    for (const auto& [row, at] : suspects) {
        SimplifiedRing& ring = rings[row];
        const LatticePoint place = ring.lattice[at];
        for (const LatticePoint step : steps) {
            ring.move(at, {place.x + step.x, place.y + step.y});
            const std::size_t left = count_conflicts(rings);
            if (left < conflicts && ring.is_oriented()) {
                ring.nudged = true;
                return left;
            }
        }
        ring.move(at, place);
    }
    return conflicts;
}

/// Turns the rings in conflict that enclose nothing into triangles. Returns the number of conflicts left.
std::size_t RingResolver::open_slivers(std::span<SimplifiedRing> rings, std::size_t conflicts) {
    std::vector<std::size_t> suspects;
    for (std::size_t at = 0; conflicts > 0 && at < segments_.size(); ++at) {
        if (conflicts_[at] != 0 && (suspects.empty() || suspects.back() != segments_[at].ring)) {
            suspects.push_back(segments_[at].ring);
        }
    }
    for (const std::size_t row : suspects) {
        if (rings[row].is_sliver()) {
            conflicts = open_sliver(rings, row, conflicts);
        }
    }
    return conflicts;
}

/// Keeps the first vertex, the farthest one, and a third next to either of them, where that reduces the conflicts.
std::size_t RingResolver::open_sliver(std::span<SimplifiedRing> rings, std::size_t row, std::size_t conflicts) {
    SimplifiedRing& ring = rings[row];
    const SimplifiedRing before = ring;
    const std::size_t last = ring.lattice.size() - 1;
    const std::size_t far = ring.farthest();
    const std::size_t third = far + 1 < last ? far + 1 : far - 1;
    std::fill(ring.keep.begin(), ring.keep.end(), std::uint8_t{0});
    ring.keep[0] = ring.keep[far] = ring.keep[third] = ring.keep[last] = 1;
    constexpr std::array<LatticePoint, 4> steps{{{1, 0}, {0, 1}, {-1, 0}, {0, -1}}};
    const LatticePoint start = ring.lattice.front();
    if (ring.lattice[far] == start) {
        ring.move(far, {start.x + 1, start.y});
    }
    for (const LatticePoint base : {start, ring.lattice[far]}) {
        for (const LatticePoint step : steps) {
            ring.move(third, {base.x + step.x, base.y + step.y});
            const std::size_t left = count_conflicts(rings);
            if (left < conflicts && ring.is_oriented()) {
                ring.nudged = true;
                return left;
            }
        }
    }
    ring = before;
    return count_conflicts(rings);
}

}  // namespace geojepa
