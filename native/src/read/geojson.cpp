// GEOS parses the text.
#include "read/geojson.hpp"

#include "clip/geos.hpp"
#include "errors.hpp"

namespace geojepa {

std::vector<Polygon> polygons_of_geojson(const std::string& text) {
    GEOSContextHandle_t context = geos::context();
    GEOSGeoJSONReader* reader = GEOSGeoJSONReader_create_r(context);
    GEOSGeometry* geometry = GEOSGeoJSONReader_readGeometry_r(context, reader, text.c_str());
    GEOSGeoJSONReader_destroy_r(context, reader);
    if (geometry == nullptr) {
        throw InputError("the polygon file is not valid GeoJSON", {.options = {{"polygon", "FILE"}}});
    }
    const geos::Geometry owner{geometry};
    std::vector<Polygon> polygons;
    geos::collect_polygons(geometry, polygons);
    for (Polygon& polygon : polygons) {
        for (Ring& ring : polygon.rings) {
            for (Point& p : ring) {
                p = {p.lon * units_per_degree, p.lat * units_per_degree};
            }
        }
    }
    return polygons;
}

}  // namespace geojepa
