// The smallest turned rectangle round the vertices of a piece.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "clip/enu.hpp"
#include "columns/schema.hpp"

namespace geojepa {

/// A rectangle along a unit vector: its extents on that axis and on the one to its left, in metres.
struct TurnedBox {
    EastNorth direction;
    double back;
    double front;
    double right;
    double left;

    double length_m() const { return front - back; }
    double width_m() const { return left - right; }
    /// Counter-clockwise.
    std::array<EastNorth, 4> corners() const;
};

/// Corners (x, y) in tile units as they are stored, from the lowest, then leftmost, counter-clockwise.
using StoredBox = std::array<float, 8>;

/// Convex hull, counter-clockwise, without collinear vertices; one or two points where the input has no area.
/// Reorders the input.
std::vector<EastNorth> convex_hull(std::vector<EastNorth>& points);

/// Minimum-area rectangle of a convex hull by rotating calipers (Toussaint 1983). A hull of two points gives a
/// rectangle of no width along them, one of a single point an empty one turned by `turn_rad`.
TurnedBox minimum_area_box(std::span<const EastNorth> hull, double turn_rad);

/// Grows each side shorter than `least_m` to it, equally to both ends. Returns whether one was.
bool grow_sides(TurnedBox& box, double least_m);

/// How far to turn the box of a point: an angle in [0, pi/2) drawn from the element's type and id.
double turn_of(schema::OsmType osm_type, std::int64_t osm_id);

StoredBox store_box(const TurnedBox& box, double metres_per_unit);

}  // namespace geojepa
