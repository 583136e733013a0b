// An area of interest from a file.
#pragma once

#include <string>
#include <vector>

#include "clip/shape.hpp"

namespace geojepa {

/// The polygons of a GeoJSON file (a geometry, a feature or a collection of them) or of an Osmosis `.poly` file, valid
/// and oriented. Throws InputError where there are none, or they leave the globe.
std::vector<Polygon> read_polygons(const std::string& path);

}  // namespace geojepa
