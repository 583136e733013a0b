// Polygons cut in two by a meridian or a parallel.
#pragma once

#include <vector>

#include "clip/shape.hpp"

namespace geojepa {

enum class Axis { lon, lat };

/// Cuts `polygon` where `axis` has the value `edge` and adds what lies below the edge to `below`, the rest to `above`.
///
/// Rings must be oriented, and must neither cross themselves nor each other. Where crossings of the edge tell that
/// they do, nothing is added and the result is false. Points on the edge belong to the upper side, so that a polygon
/// that only touches the edge leaves nothing on the other one. Coordinates on the edge are exactly `edge`.
[[nodiscard]] bool split(const Polygon& polygon, Axis axis, double edge, std::vector<Polygon>& below,
                         std::vector<Polygon>& above);

/// Whether `point` lies inside `ring`; points on it may count as either.
bool ring_contains(const Ring& ring, Point point);

}  // namespace geojepa
