// Areas on both sides of the antimeridian: assembled on a globe rotated by 180 degrees, cut there, and rotated back.
#pragma once

#include <span>
#include <vector>

#include "clip/shape.hpp"

namespace geojepa {

/// Whether two consecutive points are more than 180 degrees of longitude apart. The line between them is the shorter
/// one, across the antimeridian.
bool crosses_antimeridian(std::span<const Position> positions);

/// Whether a point lies on the antimeridian, which has two longitudes.
bool touches_antimeridian(std::span<const Position> positions);

/// Rotates points by 180 degrees: the antimeridian is then at longitude 0, and longitude 0 at the edges.
std::vector<Position> turn_by_half(std::span<const Position> positions);

/// Cuts polygons of the rotated globe at longitude 0 and rotates them back, so that none crosses the antimeridian.
std::vector<Polygon> turn_back(const std::vector<Polygon>& polygons);

}  // namespace geojepa
