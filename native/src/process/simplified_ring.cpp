// Walks a ring as a chain that starts at a fixed vertex, or at one that lies on the convex hull.
#include "process/simplified_ring.hpp"

#include <algorithm>
#include <cmath>

namespace geojepa {
namespace {

/// Anchor of a ring without fixed vertices: its lowest, then leftmost vertex, which lies on the convex hull.
std::size_t lowest(std::span<const LatticePoint> ring) {
    return static_cast<std::size_t>(
        std::min_element(ring.begin(), ring.end(),
                         [](LatticePoint a, LatticePoint b) { return a.y != b.y ? a.y < b.y : a.x < b.x; }) -
        ring.begin());
}

}  // namespace

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

void drop_repeats(std::span<const LatticePoint> chain, std::size_t min_kept, std::span<std::uint8_t> keep) {
    std::size_t kept = static_cast<std::size_t>(std::count(keep.begin(), keep.end(), std::uint8_t{1}));
    std::size_t previous = 0;
    for (std::size_t at = 1; at < chain.size() && kept > min_kept; ++at) {
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

void SimplifiedRing::load(const PieceShape& shape, std::size_t part, DouglasPeucker& simplifier) {
    load_vertices(shape, part);
    const std::size_t count = vertices.size() - 1;
    if (count > 3) {
        if (std::count(keep.begin(), keep.end(), std::uint8_t{1}) == 2) {
            // Both ends of the chain are the anchor. The vertex farthest from it divides the ring in two.
            keep[std::max<std::size_t>(farthest_between(metres, lattice, 0, count), 1)] = 1;
        }
        simplifier.keep_between_anchors(metres, keep);
        drop_repeats(lattice, 4, keep);
    }
    complete_triangle();
}

void SimplifiedRing::load_vertices(const PieceShape& shape, std::size_t part) {
    const std::uint32_t first = shape.part_begin[part];
    const std::uint32_t count = shape.part_begin[part + 1] - first;
    const auto fixed = std::span{shape.fixed}.subspan(first, count);
    const auto found = std::find(fixed.begin(), fixed.end(), std::uint8_t{1});
    const std::size_t start = found != fixed.end() ? static_cast<std::size_t>(found - fixed.begin())
                                                   : lowest(std::span{shape.lattice}.subspan(first, count));
    vertices.clear();
    metres.clear();
    lattice.clear();
    keep.clear();
    clockwise = shape.roles[part] == schema::Role::inner;
    refined = nudged = false;
    for (std::uint32_t step = 0; step <= count; ++step) {
        const std::uint32_t vertex = first + (static_cast<std::uint32_t>(start) + step) % count;
        vertices.push_back(vertex);
        metres.push_back(shape.metres[vertex]);
        lattice.push_back(shape.lattice[vertex]);
        keep.push_back(count <= 3 ? 1 : shape.fixed[vertex]);
    }
    keep.front() = keep.back() = 1;
}

/// Keeps the vertices farthest from the ring's edges until there are three.
void SimplifiedRing::complete_triangle() {
    while (std::count(keep.begin(), keep.end(), std::uint8_t{1}) < 4) {
        std::size_t split = 0;
        double farthest = -1.0;
        std::size_t from = 0;
        for (std::size_t to = 1; to < keep.size(); ++to) {
            if (keep[to] == 0) {
                continue;
            }
            for (std::size_t at = from + 1; at < to; ++at) {
                const double distance = squared_distance_to_segment(metres[at], metres[from], metres[to]);
                if (distance > farthest) {
                    farthest = distance;
                    split = at;
                }
            }
            from = to;
        }
        keep[split] = 1;
    }
}

std::int64_t SimplifiedRing::twice_area() const {
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

bool SimplifiedRing::is_oriented() const {
    return clockwise ? twice_area() < 0 : twice_area() > 0;
}

bool SimplifiedRing::is_sliver() const {
    const LatticePoint start = lattice.front();
    const LatticePoint end = lattice[farthest()];
    const double length = std::hypot(start.x - end.x, start.y - end.y);
    return std::all_of(lattice.begin(), lattice.end(), [&](LatticePoint point) {
        return static_cast<double>(std::abs(cross(start, end, point))) <= length;
    });
}

std::size_t SimplifiedRing::farthest() const {
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

void SimplifiedRing::move(std::size_t at, LatticePoint to) {
    const bool is_anchor = at == 0 || at + 1 == lattice.size();
    lattice[is_anchor ? 0 : at] = to;
    if (is_anchor) {
        lattice.back() = to;
    }
}

}  // namespace geojepa
