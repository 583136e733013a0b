// Each ring is divided into chains that lie on one side of the edge. Sorted along the edge, pairs of crossings bound
// the interior of the polygon; each pair links the end of a chain to the start of the next one on the same side.
#include "clip/split.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>

namespace geojepa {
namespace {

/// Crossings closer than this (in 1e-7 degrees) have no reliable order.
constexpr double same_place = 1e-6;
/// Rings below this area (in squares of 1e-7 degrees; about 0.1 mm²) are rounding errors.
constexpr double no_area = 1e-3;

constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

struct Chain {
    bool above = false;
    Ring points;  // from crossing to crossing, inclusive
    std::size_t next = none;
    bool used = false;
};

struct Crossing {
    double along = 0;
    bool upwards = false;
    std::size_t ends = none;    // the chain that ends here
    std::size_t starts = none;  // the chain that starts here
};

class Splitter {
public:
    Splitter(Axis axis, double edge) : axis_(axis), edge_(edge) {}

    bool split(const Polygon& polygon, std::vector<Polygon>& below, std::vector<Polygon>& above) {
        bool outer_crosses = false;
        for (std::size_t i = 0; i < polygon.rings.size(); ++i) {
            const bool crosses = add_ring(polygon.rings[i]);
            if (i == 0) {
                outer_crosses = crosses;
            } else if (crosses && !outer_crosses) {
                return false;
            }
        }
        if (!outer_crosses) {
            (is_above(polygon.rings.front().front()) ? above : below).push_back(polygon);
            return true;
        }
        return link() && emit(false, below) && emit(true, above);
    }

private:
    double across(Point p) const { return axis_ == Axis::lon ? p.lon : p.lat; }
    double along(Point p) const { return axis_ == Axis::lon ? p.lat : p.lon; }
    bool is_above(Point p) const { return across(p) >= edge_; }

    Point crossing_point(Point a, Point b) const {
        if (across(a) == edge_) {
            return a;
        }
        if (across(b) == edge_) {
            return b;
        }
        // Polygons that share this side run along it in opposite directions, and must get the same point.
        if (across(b) < across(a)) {
            std::swap(a, b);
        }
        const double t = (edge_ - across(a)) / (across(b) - across(a));
        const double value = along(a) + t * (along(b) - along(a));
        return axis_ == Axis::lon ? Point{edge_, value} : Point{value, edge_};
    }

    /// Divides a ring into chains. Returns whether it lies on both sides; a ring that does not is kept whole.
    bool add_ring(const Ring& ring) {
        const std::size_t size = ring.size();
        std::size_t start = 0;
        while (start < size && is_above(ring[start]) == is_above(ring[(start + size - 1) % size])) {
            ++start;
        }
        if (start == size) {
            whole_[is_above(ring.front()) ? 1 : 0].push_back(&ring);
            return false;
        }
        const std::size_t first_chain = chains_.size();
        for (std::size_t i = 0; i < size; ++i) {
            const Point point = ring[(start + i) % size];
            const bool above = is_above(point);
            if (i == 0 || above != chains_.back().above) {
                const Point before = ring[(start + i + size - 1) % size];
                start_chain(above, crossing_point(before, point), i == 0);
            }
            chains_.back().points.push_back(point);
        }
        close_ring(first_chain);
        return true;
    }

    void start_chain(bool above, Point crossing, bool first_of_ring) {
        if (!first_of_ring) {
            chains_.back().points.push_back(crossing);
        }
        const std::size_t ends = first_of_ring ? none : chains_.size() - 1;
        crossings_.push_back({.along = along(crossing), .upwards = above, .ends = ends, .starts = chains_.size()});
        chains_.push_back({.above = above, .points = {crossing}});
    }

    void close_ring(std::size_t first_chain) {
        chains_.back().points.push_back(chains_[first_chain].points.front());
        const auto first = std::find_if(crossings_.begin(), crossings_.end(),
                                        [&](const Crossing& crossing) { return crossing.starts == first_chain; });
        first->ends = chains_.size() - 1;
    }

    /// Sorts the crossings and links the chains. Upward and downward crossings must alternate.
    bool link() {
        std::sort(crossings_.begin(), crossings_.end(),
                  [](const Crossing& a, const Crossing& b) { return a.along < b.along; });
        // With the interior to the left of every ring, the lowest crossing of a meridian leads eastwards,
        // the westernmost crossing of a parallel southwards.
        bool upwards = axis_ == Axis::lon;
        for (std::size_t i = 0; i < crossings_.size(); ++i, upwards = !upwards) {
            std::size_t candidate = i;
            while (candidate < crossings_.size() && crossings_[candidate].upwards != upwards) {
                ++candidate;
            }
            if (candidate == crossings_.size() || crossings_[candidate].along - crossings_[i].along > same_place) {
                return false;
            }
            std::swap(crossings_[i], crossings_[candidate]);
        }
        for (std::size_t i = 0; i + 1 < crossings_.size(); i += 2) {
            chains_[crossings_[i].ends].next = crossings_[i + 1].starts;
            chains_[crossings_[i + 1].ends].next = crossings_[i].starts;
        }
        return crossings_.size() % 2 == 0;
    }

    /// Appends the polygons of one side. Where crossings coincide, a hole that touches the edge may become a separate
    /// ring.
    bool emit(bool above, std::vector<Polygon>& out) {
        const std::size_t first = out.size();
        std::vector<Ring> holes;
        for (std::size_t i = 0; i < chains_.size(); ++i) {
            if (chains_[i].above == above && !chains_[i].used) {
                Ring ring = ring_from(i);
                const double area = ring.size() >= 3 ? twice_area(ring) : 0;
                if (area > 2 * no_area) {
                    out.push_back({.rings = {std::move(ring)}});
                } else if (area < -2 * no_area) {
                    holes.push_back(std::move(ring));
                }
            }
        }
        for (const Ring* hole : whole_[above ? 1 : 0]) {
            holes.push_back(*hole);
        }
        for (Ring& hole : holes) {
            const std::size_t owner = owner_of(hole, out, first);
            if (owner == none) {
                out.resize(first);
                return false;
            }
            out[owner].rings.push_back(std::move(hole));
        }
        return true;
    }

    Ring ring_from(std::size_t chain) {
        Ring ring;
        while (!chains_[chain].used) {
            chains_[chain].used = true;
            for (const Point point : chains_[chain].points) {
                if (ring.empty() || ring.back() != point) {
                    ring.push_back(point);
                }
            }
            chain = chains_[chain].next;
        }
        return without_spikes(ring);
    }

    /// Removes what runs along the edge and back. It occurs where a side lies on the edge with the interior below it:
    /// its ends count as above, but no part of the area is there.
    Ring without_spikes(const Ring& ring) const {
        Ring kept;
        for (const Point point : ring) {
            kept.push_back(point);
            while (kept.size() > 2 && runs_back(kept.end()[-3], kept.end()[-2], point)) {
                kept.erase(kept.end() - 2);
                if (kept.end()[-2] == point) {
                    kept.pop_back();
                }
            }
        }
        while (kept.size() > 2 && runs_back(kept.end()[-2], kept.back(), kept.front())) {
            kept.pop_back();
        }
        while (kept.size() > 2 && runs_back(kept.back(), kept[0], kept[1])) {
            kept.erase(kept.begin());
        }
        return kept;
    }

    /// Whether b is redundant between a and c: it equals one of them, or all three lie on the edge and the ring turns
    /// back at b.
    bool runs_back(Point a, Point b, Point c) const {
        if (a == b || b == c) {
            return true;
        }
        const bool on_edge = across(a) == edge_ && across(b) == edge_ && across(c) == edge_;
        return on_edge && (along(b) > along(a)) != (along(c) > along(b));
    }

    /// The polygon whose outer ring contains most of the hole's points. Single points may lie on a ring.
    static std::size_t owner_of(const Ring& hole, const std::vector<Polygon>& polygons, std::size_t first) {
        if (polygons.size() <= first + 1) {
            return polygons.size() == first ? none : first;
        }
        std::size_t best = none;
        std::size_t best_inside = 0;
        const std::size_t step = std::max<std::size_t>(hole.size() / 16, 1);
        for (std::size_t i = first; i < polygons.size(); ++i) {
            std::size_t inside = 0;
            for (std::size_t k = 0; k < hole.size(); k += step) {
                inside += ring_contains(polygons[i].rings.front(), hole[k]) ? 1 : 0;
            }
            if (inside > best_inside) {
                best = i;
                best_inside = inside;
            }
        }
        return best;
    }

    Axis axis_;
    double edge_;
    std::vector<Chain> chains_;
    std::vector<Crossing> crossings_;
    std::array<std::vector<const Ring*>, 2> whole_;  // below, above
};

}  // namespace

bool split(const Polygon& polygon, Axis axis, double edge, std::vector<Polygon>& below, std::vector<Polygon>& above) {
    std::vector<Polygon> new_below;
    std::vector<Polygon> new_above;
    if (!Splitter{axis, edge}.split(polygon, new_below, new_above)) {
        return false;
    }
    std::move(new_below.begin(), new_below.end(), std::back_inserter(below));
    std::move(new_above.begin(), new_above.end(), std::back_inserter(above));
    return true;
}

bool ring_contains(const Ring& ring, Point point) {
    bool inside = false;
    for (std::size_t i = 0, j = ring.size() - 1; i < ring.size(); j = i++) {
        const Point a = ring[i];
        const Point b = ring[j];
        if ((a.lat > point.lat) != (b.lat > point.lat) &&
            point.lon < (b.lon - a.lon) * (point.lat - a.lat) / (b.lat - a.lat) + a.lon) {
            inside = !inside;
        }
    }
    return inside;
}

}  // namespace geojepa
