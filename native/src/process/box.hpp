// The minimum-area rectangle around the vertices of a piece.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "clip/enu.hpp"
#include "columns/schema.hpp"

namespace geojepa {

/// A rotated rectangle: its extents along a unit vector and along the normal to its left, in metres.
struct TurnedBox {
    EastNorth direction{};
    double back = 0;
    double front = 0;
    double right = 0;
    double left = 0;

    double length_m() const { return front - back; }
    double width_m() const { return left - right; }
    /// Counter-clockwise.
    std::array<EastNorth, 4> corners() const;
};

/// Corners (x, y) in tile units, counter-clockwise, starting at the lowest, then leftmost.
using StoredBox = std::array<float, 8>;

/// Convex hull, counter-clockwise, without collinear vertices. One or two points where the input has no area.
/// Reorders `points`.
std::vector<EastNorth> convex_hull(std::vector<EastNorth>& points);

/// Minimum-area rectangle of a convex hull by rotating calipers (Toussaint 1983). A hull of two points gives a
/// rectangle of width 0 along them, a single point an empty one rotated by `turn_rad`.
TurnedBox minimum_area_box(std::span<const EastNorth> hull, double turn_rad);

/// Extends each side shorter than `min_side_m` to it, equally at both ends. Returns whether there was one.
bool grow_sides(TurnedBox& box, double min_side_m);

/// Rotation of the box of a point: an angle in [0, π/2), pseudo-random by the element's type and id.
double turn_of(schema::OsmType osm_type, std::int64_t osm_id);

StoredBox store_box(const TurnedBox& box, double metres_per_unit);

}  // namespace geojepa
