// Best-first search over a tree of vertices. Skips what lies in the shadow of segments found to block the view.
#include "process/visibility.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <queue>
#include <tuple>

#include "process/segment_index.hpp"

namespace geojepa {
namespace {

constexpr std::uint32_t leaf_size = 8;
constexpr std::uint32_t several_parts = std::numeric_limits<std::uint32_t>::max();

/// The points that a segment hides from a viewer: those strictly beyond its line, between the rays to its ends.
/// The region is convex, so it contains a box if it contains the four corners.
class Shadow {
public:
    Shadow(LatticePoint viewer, const LatticeSegment& blocker) : viewer_{viewer}, a_{blocker.from}, b_{blocker.to} {
        if (cross(viewer_, a_, b_) < 0) {
            std::swap(a_, b_);
        }
    }

    /// A segment seen end-on hides only points on its line.
    bool empty() const { return cross(viewer_, a_, b_) == 0; }

    bool covers(LatticePoint point) const {
        return cross(viewer_, a_, point) >= 0 && cross(viewer_, point, b_) >= 0 && cross(a_, point, b_) > 0;
    }

private:
    LatticePoint viewer_;
    LatticePoint a_;
    LatticePoint b_;
};

struct TreeBox {
    LatticePoint low;
    LatticePoint high;
    std::uint32_t begin = 0;  ///< its vertices are the range [begin, end) of `NodeTree::order`
    std::uint32_t end = 0;
    std::uint32_t part = 0;   ///< the part of all its vertices, or `several_parts`
    std::uint32_t right = 0;  ///< row of its second half; the first half is the next row; 0 for a leaf

    std::int64_t squared_distance_to(LatticePoint point) const {
        return squared_distance(point, {std::clamp(point.x, low.x, high.x), std::clamp(point.y, low.y, high.y)});
    }
};

/// A k-d tree: vertices are halved along the longer side of their bounds until few are left.
struct NodeTree {
    std::vector<TreeBox> boxes;
    std::vector<std::uint32_t> order;

    NodeTree(std::span<const LatticePoint> nodes, std::span<const std::uint32_t> part_of,
             std::vector<std::uint32_t> rows)
        : order{std::move(rows)} {
        if (!order.empty()) {
            build(nodes, part_of, 0, static_cast<std::uint32_t>(order.size()));
        }
    }

private:
    void build(std::span<const LatticePoint> nodes, std::span<const std::uint32_t> part_of, std::uint32_t begin,
               std::uint32_t end) {
        TreeBox box{
            .low = nodes[order[begin]],
            .high = nodes[order[begin]],
            .begin = begin,
            .end = end,
            .part = part_of[order[begin]],
        };
        for (std::uint32_t at = begin; at < end; ++at) {
            const LatticePoint node = nodes[order[at]];
            box.low = {std::min(box.low.x, node.x), std::min(box.low.y, node.y)};
            box.high = {std::max(box.high.x, node.x), std::max(box.high.y, node.y)};
            box.part = box.part == part_of[order[at]] ? box.part : several_parts;
        }
        const std::size_t row = boxes.size();
        boxes.push_back(box);
        if (end - begin <= leaf_size) {
            return;
        }
        const bool wide = box.high.x - box.low.x > box.high.y - box.low.y;
        const std::uint32_t middle = begin + (end - begin) / 2;
        std::nth_element(order.begin() + begin, order.begin() + middle, order.begin() + end,
                         [&](std::uint32_t a, std::uint32_t b) {
                             const std::int32_t at_a = wide ? nodes[a].x : nodes[a].y;
                             const std::int32_t at_b = wide ? nodes[b].x : nodes[b].y;
                             return at_a != at_b ? at_a < at_b : a < b;
                         });
        build(nodes, part_of, begin, middle);
        boxes[row].right = static_cast<std::uint32_t>(boxes.size());
        build(nodes, part_of, middle, end);
    }
};

/// A box or a vertex to look at next. The nearest comes first, and boxes come before vertices at the same distance, so
/// that vertices at the same distance come in the order of their numbers.
struct Pending {
    std::int64_t squared_distance;
    bool is_node;
    std::uint32_t row;

    friend bool operator>(const Pending& a, const Pending& b) {
        return std::tie(a.squared_distance, a.is_node, a.row) > std::tie(b.squared_distance, b.is_node, b.row);
    }
};

class Search {
public:
    explicit Search(const PieceParts& piece)
        : nodes_{piece.nodes}, part_of_(parts_by_node(piece)), segments_{segments_of(piece)}, index_{segments_} {
        seeing_.reserve(nodes_.size());
        for (std::uint32_t node = 0; node < nodes_.size(); ++node) {
            const bool blind = index_.any_along({nodes_[node], nodes_[node]}, [&](std::uint32_t segment) {
                return inside_segment(nodes_[node], segments_[segment]);
            });
            if (!blind) {
                seeing_.push_back(node);
            }
        }
    }

    std::vector<VisibilityEdge> edges(std::uint32_t per_node) {
        const NodeTree tree{nodes_, part_of_, seeing_};
        std::vector<VisibilityEdge> found;
        for (const std::uint32_t node : seeing_) {
            look_around(node, per_node, tree, found);
        }
        std::sort(found.begin(), found.end());
        found.erase(std::unique(found.begin(), found.end()), found.end());
        return found;
    }

private:
    static std::vector<std::uint32_t> parts_by_node(const PieceParts& piece) {
        std::vector<std::uint32_t> part_of;
        part_of.reserve(piece.nodes.size());
        for (std::uint32_t part = 0; part + 1 < piece.part_begin.size(); ++part) {
            part_of.resize(piece.part_begin[part + 1], part);
        }
        return part_of;
    }

    void look_around(std::uint32_t viewer, std::uint32_t per_node, const NodeTree& tree,
                     std::vector<VisibilityEdge>& found) {
        const LatticePoint from = nodes_[viewer];
        pending_.clear();
        shadows_.clear();
        push(tree.boxes[0].squared_distance_to(from), false, 0);
        std::uint32_t wanted = per_node;
        while (wanted > 0 && !pending_.empty()) {
            std::pop_heap(pending_.begin(), pending_.end(), std::greater<>{});
            const Pending next = pending_.back();
            pending_.pop_back();
            if (next.is_node) {
                if (sees(from, nodes_[next.row])) {
                    found.push_back({std::min(viewer, next.row), std::max(viewer, next.row)});
                    --wanted;
                }
            } else {
                open(tree, next.row, viewer);
            }
        }
    }

    /// Pushes the halves of a box, or the vertices of a leaf, unless they are hidden or belong to the viewer's part.
    void open(const NodeTree& tree, std::uint32_t row, std::uint32_t viewer) {
        const TreeBox& box = tree.boxes[row];
        const LatticePoint from = nodes_[viewer];
        if (box.part == part_of_[viewer] || hides(box)) {
            return;
        }
        if (box.right != 0) {
            push(tree.boxes[row + 1].squared_distance_to(from), false, row + 1);
            push(tree.boxes[box.right].squared_distance_to(from), false, box.right);
            return;
        }
        for (std::uint32_t at = box.begin; at < box.end; ++at) {
            const std::uint32_t node = tree.order[at];
            if (part_of_[node] != part_of_[viewer]) {
                push(squared_distance(from, nodes_[node]), true, node);
            }
        }
    }

    void push(std::int64_t squared_distance, bool is_node, std::uint32_t row) {
        pending_.push_back({.squared_distance = squared_distance, .is_node = is_node, .row = row});
        std::push_heap(pending_.begin(), pending_.end(), std::greater<>{});
    }

    bool hides(const TreeBox& box) const {
        return std::any_of(shadows_.begin(), shadows_.end(), [&](const Shadow& shadow) {
            return shadow.covers(box.low) && shadow.covers(box.high) && shadow.covers({box.low.x, box.high.y}) &&
                   shadow.covers({box.high.x, box.low.y});
        });
    }

    /// Whether no segment blocks the view. Remembers the shadow of the first one that does.
    bool sees(LatticePoint from, LatticePoint to) {
        if (std::any_of(shadows_.begin(), shadows_.end(), [&](const Shadow& shadow) { return shadow.covers(to); })) {
            return false;
        }
        return !index_.any_along({from, to}, [&](std::uint32_t segment) {
            const Contact how = contact({from, to}, segments_[segment]);
            if (how == Contact::none || how == Contact::shared_end) {
                return false;
            }
            const Shadow shadow{from, segments_[segment]};
            if (!shadow.empty()) {
                shadows_.push_back(shadow);
            }
            return true;
        });
    }

    std::span<const LatticePoint> nodes_;
    std::vector<std::uint32_t> part_of_;
    std::vector<LatticeSegment> segments_;
    SegmentIndex index_;
    std::vector<std::uint32_t> seeing_;  ///< vertices that lie inside no segment; the others see nothing
    std::vector<Pending> pending_;
    std::vector<Shadow> shadows_;
};

}  // namespace

std::vector<LatticeSegment> segments_of(const PieceParts& piece) {
    std::vector<LatticeSegment> segments;
    segments.reserve(piece.nodes.size());
    for (std::size_t part = 0; part + 1 < piece.part_begin.size(); ++part) {
        const std::uint32_t begin = piece.part_begin[part];
        const std::uint32_t end = piece.part_begin[part + 1];
        for (std::uint32_t at = begin + 1; at < end; ++at) {
            segments.push_back({piece.nodes[at - 1], piece.nodes[at]});
        }
        if (piece.part_is_ring[part] != 0 && end - begin > 2) {
            segments.push_back({piece.nodes[end - 1], piece.nodes[begin]});
        }
    }
    return segments;
}

std::vector<VisibilityEdge> visibility_edges(const PieceParts& piece, std::uint32_t per_node) {
    if (piece.part_begin.size() < 3 || per_node == 0) {
        return {};
    }
    Search search{piece};
    return search.edges(per_node);
}

}  // namespace geojepa
