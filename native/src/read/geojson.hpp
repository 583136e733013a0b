// Reads polygons from GeoJSON.
#pragma once

#include <string>
#include <vector>

#include "clip/shape.hpp"

namespace geojepa {

/// All polygons of a GeoJSON text, in units of 1e-7 degrees. They may be invalid. Throws InputError where the text is
/// not GeoJSON.
std::vector<Polygon> polygons_of_geojson(const std::string& text);

}  // namespace geojepa
