// Lines by an iterative Douglas–Peucker; rings the same between anchors, then checked on the lattice and refined.
#include "process/simplify.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace geojepa {
namespace {

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

/// The vertex from which a ring without fixed vertices is walked: its lowest, then leftmost, which is on its hull.
std::size_t lowest(std::span<const LatticePoint> ring) {
    return static_cast<std::size_t>(
        std::min_element(ring.begin(), ring.end(),
                         [](LatticePoint a, LatticePoint b) { return a.y != b.y ? a.y < b.y : a.x < b.x; }) -
        ring.begin());
}

/// Position strictly between two others that is farthest from the line of both and not on the lattice point of
/// either; `from` where there is none.
std::size_t farthest_between(std::span<const EastNorth> metres, std::span<const LatticePoint> lattice, std::size_t from,
                             std::size_t to) {
    double farthest = -1.0;
    std::size_t split = from;
    for (std::size_t at = from + 1; at < to; ++at) {
        const double distance = squared_distance_to_segment(metres[at], metres[from], metres[to]);
        if (distance > farthest && lattice[at] != lattice[from] && lattice[at] != lattice[to]) {
            farthest = distance;
            split = at;
        }
    }
    return split;
}

/// Position in its ring at which an edge begins.
std::size_t first_of(std::span<const LatticePoint> ring, const RingSegment& segment) {
    return static_cast<std::size_t>(segment.stretch.data() - ring.data());
}

/// Drops kept positions that share a lattice point with the kept position before them, but never the two ends
/// and never below `least` kept positions.
void drop_repeats(std::span<const LatticePoint> chain, std::size_t least, std::span<std::uint8_t> keep) {
    std::size_t kept = static_cast<std::size_t>(std::count(keep.begin(), keep.end(), std::uint8_t{1}));
    std::size_t previous = 0;
    for (std::size_t at = 1; at < chain.size() && kept > least; ++at) {
        if (keep[at] == 0) {
            continue;
        }
        if (chain[at] != chain[previous]) {
            previous = at;
            continue;
        }
        const bool at_end = at + 1 == chain.size();
        if (at_end && previous == 0) {
            return;
        }
        keep[at_end ? previous : at] = 0;
        --kept;
    }
}

}  // namespace

void Simplifier::choose(PieceShape& shape, std::vector<std::uint8_t>& keep, RingCounts& counts) {
    keep.assign(shape.node_count(), 1);
    std::size_t part = 0;
    while (part < shape.part_count()) {
        if (!shape.is_ring(part)) {
            choose_line(shape, part, keep);
            ++part;
            continue;
        }
        std::size_t end = part + 1;
        while (end < shape.part_count() && shape.is_ring(end) &&
               (shape.one_area || shape.roles[end] == schema::Role::inner)) {
            ++end;
        }
        choose_rings(shape, part, end, keep, counts);
        part = end;
    }
}

/// Marks what Douglas–Peucker keeps strictly between two kept positions of a chain.
void Simplifier::keep_between(std::span<const EastNorth> chain, std::size_t from, std::size_t to,
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

void Simplifier::keep_between_anchors(std::span<const EastNorth> chain, std::span<std::uint8_t> keep) {
    std::size_t previous = 0;
    for (std::size_t at = 1; at < chain.size(); ++at) {
        if (keep[at] != 0) {
            keep_between(chain, previous, at, keep);
            previous = at;
        }
    }
}

void Simplifier::choose_line(const PieceShape& shape, std::size_t part, std::vector<std::uint8_t>& keep) {
    const std::size_t first = shape.part_begin[part];
    const std::size_t count = shape.part_begin[part + 1] - first;
    if (count <= 2) {
        return;
    }
    const auto marks = std::span{keep}.subspan(first, count);
    for (std::size_t at = 0; at < count; ++at) {
        marks[at] = shape.fixed[first + at];
    }
    marks.front() = marks.back() = 1;
    keep_between_anchors(std::span{shape.metres}.subspan(first, count), marks);
    drop_repeats(std::span{shape.lattice}.subspan(first, count), 2, marks);
}

/// Fills a ring from an anchor round to itself and chooses its vertices without regard to other rings.
void Simplifier::load_ring(const PieceShape& shape, std::size_t part, Ring& ring) {
    const std::uint32_t first = shape.part_begin[part];
    const std::uint32_t count = shape.part_begin[part + 1] - first;
    const auto fixed = std::span{shape.fixed}.subspan(first, count);
    const auto found = std::find(fixed.begin(), fixed.end(), std::uint8_t{1});
    const std::size_t start = found != fixed.end() ? static_cast<std::size_t>(found - fixed.begin())
                                                   : lowest(std::span{shape.lattice}.subspan(first, count));
    ring.vertices.clear();
    ring.metres.clear();
    ring.lattice.clear();
    ring.keep.clear();
    ring.clockwise = shape.roles[part] == schema::Role::inner;
    ring.refined = ring.nudged = false;
    for (std::uint32_t step = 0; step <= count; ++step) {
        const std::uint32_t vertex = first + (static_cast<std::uint32_t>(start) + step) % count;
        ring.vertices.push_back(vertex);
        ring.metres.push_back(shape.metres[vertex]);
        ring.lattice.push_back(shape.lattice[vertex]);
        ring.keep.push_back(count <= 3 ? 1 : shape.fixed[vertex]);
    }
    ring.keep.front() = ring.keep.back() = 1;
    if (count > 3) {
        if (std::count(ring.keep.begin(), ring.keep.end(), std::uint8_t{1}) == 2) {
            // the start and the vertex farthest from it halve the ring: both ends of the stretch are the start
            ring.keep[std::max<std::size_t>(farthest_between(ring.metres, ring.lattice, 0, count), 1)] = 1;
        }
        keep_between_anchors(ring.metres, ring.keep);
        drop_repeats(ring.lattice, 4, ring.keep);
    }
    complete_triangle(ring);
}

/// Adds the vertices farthest from the ring's edges until it has three.
void Simplifier::complete_triangle(Ring& ring) {
    while (std::count(ring.keep.begin(), ring.keep.end(), std::uint8_t{1}) < 4) {
        std::size_t split = 0;
        double farthest = -1.0;
        std::size_t from = 0;
        for (std::size_t to = 1; to < ring.keep.size(); ++to) {
            if (ring.keep[to] == 0) {
                continue;
            }
            for (std::size_t at = from + 1; at < to; ++at) {
                const double distance =
                    squared_distance_to_segment(ring.metres[at], ring.metres[from], ring.metres[to]);
                if (distance > farthest) {
                    farthest = distance;
                    split = at;
                }
            }
            from = to;
        }
        ring.keep[split] = 1;
    }
}

void Simplifier::choose_rings(PieceShape& shape, std::size_t first, std::size_t last, std::vector<std::uint8_t>& keep,
                              RingCounts& counts) {
    if (rings_.size() < last - first) {
        rings_.resize(last - first);
    }
    const auto rings = std::span{rings_}.first(last - first);
    for (std::size_t part = first; part < last; ++part) {
        load_ring(shape, part, rings[part - first]);
    }
    std::size_t conflicts = count_conflicts(rings);
    while (conflicts > 0 && give_back(rings)) {
        conflicts = count_conflicts(rings);
    }
    conflicts = nudge(rings, conflicts);
    conflicts = open_slivers(rings, conflicts);
    std::vector<std::uint8_t> crossing(rings.size(), 0);
    for (std::size_t at = 0; conflicts > 0 && at < segments_.size(); ++at) {
        crossing[segments_[at].ring] |= conflicts_[at];
    }
    for (std::size_t row = 0; row < rings.size(); ++row) {
        const Ring& ring = rings[row];
        counts.refined += ring.refined ? 1 : 0;
        counts.nudged += ring.nudged ? 1 : 0;
        counts.crossing += crossing[row];
        for (std::size_t at = 0; at + 1 < ring.vertices.size(); ++at) {
            keep[ring.vertices[at]] = ring.keep[at];
            shape.lattice[ring.vertices[at]] = ring.lattice[at];
        }
    }
}

/// Lists the edges of the rings as they are now, and marks those in conflict.
std::size_t Simplifier::count_conflicts(std::span<const Ring> rings) {
    segments_.clear();
    for (std::uint32_t row = 0; row < rings.size(); ++row) {
        const Ring& ring = rings[row];
        const std::size_t begin = segments_.size();
        std::size_t previous = 0;
        for (std::size_t at = 1; at < ring.keep.size(); ++at) {
            if (ring.keep[at] != 0) {
                segments_.push_back({{ring.lattice[previous], ring.lattice[at]},
                                     std::span{ring.lattice}.subspan(previous, at - previous + 1),
                                     row,
                                     static_cast<std::uint32_t>(segments_.size() - begin),
                                     0});
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

/// Gives every edge in conflict its farthest vertex back. False where none has one left.
bool Simplifier::give_back(std::span<Ring> rings) {
    bool changed = false;
    for (std::size_t row = 0; row < segments_.size(); ++row) {
        if (conflicts_[row] == 0) {
            continue;
        }
        Ring& ring = rings[segments_[row].ring];
        const std::size_t from = first_of(ring.lattice, segments_[row]);
        const std::size_t to = from + segments_[row].stretch.size() - 1;
        const std::size_t split = farthest_between(ring.metres, ring.lattice, from, to);
        if (split != from) {
            // the halves may stray further from the stretch than the whole did
            ring.keep[split] = 1;
            keep_between(ring.metres, from, split, ring.keep);
            keep_between(ring.metres, split, to, ring.keep);
            ring.refined = changed = true;
        }
    }
    return changed;
}

/// Moves vertices at conflicts by a step, or two where one does not help, as long as that makes the conflicts fewer.
/// Returns how many are left.
std::size_t Simplifier::nudge(std::span<Ring> rings, std::size_t conflicts) {
    // more than this is no matter of rounding
    constexpr std::size_t most_conflicts = 16;
    static constexpr std::array<LatticePoint, 8> one_step{
        {{1, 0}, {0, 1}, {-1, 0}, {0, -1}, {1, 1}, {-1, 1}, {-1, -1}, {1, -1}}};
    // for a needle that lies on an edge, which one step brings onto the edge and no further
    static constexpr std::array<LatticePoint, 4> two_steps{{{2, 0}, {0, 2}, {-2, 0}, {0, -2}}};
    while (conflicts > 0 && conflicts <= most_conflicts) {
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

std::size_t Simplifier::nudge_one(std::span<Ring> rings, std::size_t conflicts, std::span<const LatticePoint> steps) {
    std::vector<std::pair<std::uint32_t, std::size_t>> suspects;
    for (std::size_t row = 0; row < segments_.size(); ++row) {
        if (conflicts_[row] != 0) {
            const std::size_t from = first_of(rings[segments_[row].ring].lattice, segments_[row]);
            suspects.emplace_back(segments_[row].ring, from);
            suspects.emplace_back(segments_[row].ring, from + segments_[row].stretch.size() - 1);
        }
    }
    for (const auto& [row, at] : suspects) {
        Ring& ring = rings[row];
        const LatticePoint place = ring.lattice[at];
        for (const LatticePoint step : steps) {
            ring.move(at, {place.x + step.x, place.y + step.y});
            const std::size_t left = count_conflicts(rings);
            if (left < conflicts && ring.turns_as_it_should()) {
                ring.nudged = true;
                return left;
            }
        }
        ring.move(at, place);
    }
    return conflicts;
}

/// Makes triangles of the rings in conflict that enclose nothing. Returns how many conflicts are left.
std::size_t Simplifier::open_slivers(std::span<Ring> rings, std::size_t conflicts) {
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

/// The first vertex, the farthest one, and a third beside either of them, if that makes the conflicts fewer.
std::size_t Simplifier::open_sliver(std::span<Ring> rings, std::size_t row, std::size_t conflicts) {
    Ring& ring = rings[row];
    const Ring before = ring;
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
            if (left < conflicts && ring.turns_as_it_should()) {
                ring.nudged = true;
                return left;
            }
        }
    }
    ring = before;
    return count_conflicts(rings);
}

std::int64_t Simplifier::Ring::twice_area() const {
    std::int64_t area = 0;
    std::size_t previous = 0;
    for (std::size_t at = 1; at < lattice.size(); ++at) {
        if (keep[at] != 0) {
            area += cross(lattice.front(), lattice[previous], lattice[at]);
            previous = at;
        }
    }
    return area;
}

/// Whether no vertex lies further than a step from the line between the first and the farthest one.
bool Simplifier::Ring::is_sliver() const {
    const LatticePoint start = lattice.front();
    const LatticePoint end = lattice[farthest()];
    const double length = std::hypot(start.x - end.x, start.y - end.y);
    return std::all_of(lattice.begin(), lattice.end(), [&](LatticePoint point) {
        return static_cast<double>(std::abs(cross(start, end, point))) <= length;
    });
}

std::size_t Simplifier::Ring::farthest() const {
    const auto squared = [this](std::size_t at) {
        const std::int64_t dx = lattice[at].x - std::int64_t{lattice.front().x};
        const std::int64_t dy = lattice[at].y - std::int64_t{lattice.front().y};
        return dx * dx + dy * dy;
    };
    std::size_t best = 1;
    for (std::size_t at = 2; at + 1 < lattice.size(); ++at) {
        if (squared(at) > squared(best)) {
            best = at;
        }
    }
    return best;
}

bool Simplifier::Ring::turns_as_it_should() const {
    return clockwise ? twice_area() < 0 : twice_area() > 0;
}

/// The first vertex stands at both ends.
void Simplifier::Ring::move(std::size_t at, LatticePoint to) {
    const bool is_first = at == 0 || at + 1 == lattice.size();
    lattice[is_first ? 0 : at] = to;
    if (is_first) {
        lattice.back() = to;
    }
}

}  // namespace geojepa
