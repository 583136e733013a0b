// Repairs invalid polygons with GEOS, and cuts those that `split` cannot.
#pragma once

#include <vector>

#include "clip/shape.hpp"

namespace geojepa {

/// Returns valid, oriented polygons that cover what `rings` enclose by the even-odd rule; none where they enclose
/// nothing. The rings may cross, and may have any orientation, but must not repeat their first point.
std::vector<Polygon> make_valid(const std::vector<Ring>& rings);

/// Returns the part of `polygon` inside `bounds`, computed by GEOS's robust overlay.
std::vector<Polygon> intersect(const Polygon& polygon, const Bounds& bounds);

}  // namespace geojepa
