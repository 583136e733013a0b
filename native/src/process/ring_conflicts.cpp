// Compares all pairs of edges in small areas, and uses a segment index in large ones.
#include "process/ring_conflicts.hpp"

#include <algorithm>
#include <optional>

#include "process/segment_index.hpp"

namespace geojepa {
namespace {

/// Up to this many edges, comparing all pairs is faster than building an index.
constexpr std::size_t few_segments = 24;

bool are_neighbours(const RingSegment& s, const RingSegment& t) {
    if (s.ring != t.ring) {
        return false;
    }
    const std::uint32_t apart = s.ordinal < t.ordinal ? t.ordinal - s.ordinal : s.ordinal - t.ordinal;
    return apart == 1 || apart == s.ring_size - 1;
}

bool in_conflict(const RingSegment& s, const RingSegment& t) {
    switch (contact(s.line, t.line)) {
        case Contact::none:
            return false;
        case Contact::shared_end:
            return s.ring == t.ring && !are_neighbours(s, t);
        default:
            return true;
    }
}

/// Whether the point lies strictly inside the polygon (even-odd rule) that the closed stretch bounds.
bool encloses(std::span<const LatticePoint> stretch, LatticePoint point) {
    bool inside = false;
    LatticePoint previous = stretch.back();
    for (const LatticePoint next : stretch) {
        if (contact({point, point}, {previous, next}) != Contact::none) {
            return false;
        }
        if ((previous.y > point.y) != (next.y > point.y)) {
            const bool upwards = next.y > previous.y;
            const bool is_left = cross(previous, next, point) > 0;
            inside = inside != (is_left == upwards);
        }
        previous = next;
    }
    return inside;
}

struct LatticeBox {
    LatticePoint low;
    LatticePoint high;

    bool contains(LatticePoint point) const {
        return low.x <= point.x && point.x <= high.x && low.y <= point.y && point.y <= high.y;
    }
};

LatticeBox box_around(std::span<const LatticePoint> points) {
    LatticeBox box{.low = points.front(), .high = points.front()};
    for (const LatticePoint point : points) {
        box.low = {std::min(box.low.x, point.x), std::min(box.low.y, point.y)};
        box.high = {std::max(box.high.x, point.x), std::max(box.high.y, point.y)};
    }
    return box;
}

/// Calls `visit(row)` for every edge that may meet the box or begin in it.
template <typename Index, typename Visit>
void for_each_near(const Index& index, std::size_t count, const LatticeBox& box, Visit&& visit) {
    if (index.has_value()) {
        index->for_each_in(box.low, box.high, visit);
        return;
    }
    for (std::uint32_t at = 0; at < count; ++at) {
        visit(at);
    }
}

}  // namespace

void mark_conflicts(std::span<const RingSegment> segments, std::vector<std::uint8_t>& conflicts) {
    conflicts.assign(segments.size(), 0);
    std::vector<LatticeSegment> lines;
    std::optional<SegmentIndex> index;
    if (segments.size() > few_segments) {
        lines.reserve(segments.size());
        for (const RingSegment& segment : segments) {
            lines.push_back(segment.line);
        }
        index.emplace(lines);
    }
    for (std::uint32_t at = 0; at < segments.size(); ++at) {
        const RingSegment& segment = segments[at];
        const auto meet = [&](std::uint32_t other) {
            if (other > at && in_conflict(segment, segments[other])) {
                conflicts[at] = conflicts[other] = 1;
            }
            return false;
        };
        if (index.has_value()) {
            index->any_along(segment.line, meet);
        } else {
            for (std::uint32_t other = at + 1; other < segments.size(); ++other) {
                meet(other);
            }
        }
        if (segment.line.from == segment.line.to) {
            conflicts[at] = 1;
        }
        if (segment.stretch.size() > 2) {
            const LatticeBox box = box_around(segment.stretch);
            for_each_near(index, segments.size(), box, [&](std::uint32_t other) {
                const LatticePoint vertex = segments[other].line.from;
                if (box.contains(vertex) && conflicts[at] == 0 && encloses(segment.stretch, vertex)) {
                    conflicts[at] = 1;
                }
            });
        }
    }
}

}  // namespace geojepa
