// GEOS geometries that free themselves, made from polygons and converted back. Only files that call GEOS include this.
#pragma once

#include <geos_c.h>

#include <memory>
#include <string>
#include <vector>

#include "clip/shape.hpp"

namespace geojepa::geos {

/// The GEOS context of the calling thread.
GEOSContextHandle_t context();

struct Destroy {
    void operator()(GEOSGeometry* geometry) const { GEOSGeom_destroy_r(context(), geometry); }
};
using Geometry = std::unique_ptr<GEOSGeometry, Destroy>;

/// Takes ownership of what a GEOS function returned. Throws InputError where that is null.
Geometry owned(GEOSGeometry* geometry);

/// An outer ring and its holes, oriented or not, as a GEOS polygon.
Geometry to_polygon(const std::vector<Ring>& rings);

/// Appends all polygons in `geometry`, which may be a collection, with their rings oriented.
void collect_polygons(const GEOSGeometry* geometry, std::vector<Polygon>& out);

/// Version of the GEOS library, for `--version`.
std::string version();

}  // namespace geojepa::geos
