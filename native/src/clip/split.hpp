// Splits polygons at a meridian or a parallel.
#pragma once

#include <vector>

#include "clip/shape.hpp"

namespace geojepa {

enum class Axis { lon, lat };

/// Splits `polygon` where `axis` has the value `edge`. Appends what lies below the edge to `below`, the rest to
/// `above`.
///
/// Rings must be oriented, and must cross neither themselves nor each other. Where the crossings of the edge show that
/// they do, the function adds nothing and returns false. Points on the edge belong to the upper side, so a polygon that
/// only touches the edge adds nothing to the other side. Coordinates on the edge are exactly `edge`.
[[nodiscard]] bool split(const Polygon& polygon, Axis axis, double edge, std::vector<Polygon>& below,
                         std::vector<Polygon>& above);

/// Whether `point` lies inside `ring`. The result for points on the ring is arbitrary.
bool ring_contains(const Ring& ring, Point point);

}  // namespace geojepa
