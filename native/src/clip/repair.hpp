// Polygons that are not valid, and those that the splitter cannot cut: the cases for GEOS, which only this unit uses.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "clip/shape.hpp"

namespace geojepa {

/// Whether a ring, which repeats neither its first point nor any in a row, neither touches nor crosses itself. Exact.
bool is_simple(std::span<const Position> ring);

/// The valid polygons that cover what `rings` enclose, by the even-odd rule; empty where they enclose nothing.
/// Rings come as they are: unoriented, open at the end, perhaps crossing.
std::vector<Polygon> make_valid(const std::vector<Ring>& rings);

/// What of `polygon` lies inside `bounds`, by GEOS's robust overlay. For what `split` cannot cut.
std::vector<Polygon> intersect(const Polygon& polygon, const Bounds& bounds);

/// All polygons of a GeoJSON text, as they stand there, in units of 1e-7 degrees. Throws InputError where it is none.
std::vector<Polygon> polygons_of_geojson(const std::string& text);

std::string geos_version();

}  // namespace geojepa
