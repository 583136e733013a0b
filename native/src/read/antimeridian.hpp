// Areas on both sides of the antimeridian: put together on a globe turned by half, cut there, and turned back.
#pragma once

#include <span>
#include <vector>

#include "clip/shape.hpp"

namespace geojepa {

/// Whether two points that follow each other are more than 180 degrees of longitude apart: the way between them is
/// the shorter one, across the antimeridian.
bool crosses_antimeridian(std::span<const Position> positions);

/// Whether a point lies on the antimeridian, whose two longitudes are one place.
bool touches_antimeridian(std::span<const Position> positions);

/// The same points with the antimeridian at longitude 0, and longitude 0 at the edges.
std::vector<Position> turn_by_half(std::span<const Position> positions);

/// Cuts polygons of the turned globe at its longitude 0, and turns them back: none crosses the antimeridian.
std::vector<Polygon> turn_back(const std::vector<Polygon>& polygons);

}  // namespace geojepa
