// Calls the reentrant C interface of GEOS, with one context per thread.
#include "clip/geos.hpp"

#include <utility>

#include "errors.hpp"

namespace geojepa::geos {
namespace {

class Context {
public:
    Context() : handle_(GEOS_init_r()) {
        GEOSContext_setNoticeMessageHandler_r(
            handle_, [](const char*, void*) {}, nullptr);
        GEOSContext_setErrorMessageHandler_r(
            handle_, [](const char*, void*) {}, nullptr);
    }
    ~Context() { GEOS_finish_r(handle_); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    GEOSContextHandle_t handle() const { return handle_; }

private:
    GEOSContextHandle_t handle_;
};

Geometry to_ring_geometry(const Ring& ring) {
    GEOSContextHandle_t context = geos::context();
    const auto size = static_cast<unsigned>(ring.size() + 1);
    GEOSCoordSequence* sequence = GEOSCoordSeq_create_r(context, size, 2);
    for (unsigned i = 0; i < size; ++i) {
        const Point& point = ring[i % ring.size()];
        (void)GEOSCoordSeq_setXY_r(context, sequence, i, point.lon, point.lat);
    }
    return owned(GEOSGeom_createLinearRing_r(context, sequence));
}

Ring from_geos_ring(const GEOSGeometry* geometry) {
    GEOSContextHandle_t context = geos::context();
    const GEOSCoordSequence* sequence = GEOSGeom_getCoordSeq_r(context, geometry);
    unsigned size = 0;
    (void)GEOSCoordSeq_getSize_r(context, sequence, &size);
    Ring ring;
    for (unsigned i = 0; i + 1 < size; ++i) {
        Point point;
        (void)GEOSCoordSeq_getXY_r(context, sequence, i, &point.lon, &point.lat);
        ring.push_back(point);
    }
    return ring;
}

}  // namespace

GEOSContextHandle_t context() {
    thread_local const Context context;
    return context.handle();
}

Geometry owned(GEOSGeometry* geometry) {
    if (geometry == nullptr) {
        throw InputError("GEOS cannot build a geometry");
    }
    return Geometry{geometry};
}

Geometry to_polygon(const std::vector<Ring>& rings) {
    GEOSContextHandle_t context = geos::context();
    Geometry outer = to_ring_geometry(rings.front());
    std::vector<GEOSGeometry*> holes;
    for (std::size_t i = 1; i < rings.size(); ++i) {
        holes.push_back(to_ring_geometry(rings[i]).release());
    }
    return owned(GEOSGeom_createPolygon_r(context, outer.release(), holes.data(), static_cast<unsigned>(holes.size())));
}

void collect_polygons(const GEOSGeometry* geometry, std::vector<Polygon>& out) {
    GEOSContextHandle_t context = geos::context();
    const int type = GEOSGeomTypeId_r(context, geometry);
    if (type == GEOS_MULTIPOLYGON || type == GEOS_GEOMETRYCOLLECTION) {
        for (int i = 0; i < GEOSGetNumGeometries_r(context, geometry); ++i) {
            collect_polygons(GEOSGetGeometryN_r(context, geometry, i), out);
        }
        return;
    }
    if (type != GEOS_POLYGON || GEOSisEmpty_r(context, geometry) != 0) {
        return;
    }
    Polygon polygon;
    polygon.rings.push_back(from_geos_ring(GEOSGetExteriorRing_r(context, geometry)));
    for (int i = 0; i < GEOSGetNumInteriorRings_r(context, geometry); ++i) {
        polygon.rings.push_back(from_geos_ring(GEOSGetInteriorRingN_r(context, geometry, i)));
    }
    orient(polygon);
    out.push_back(std::move(polygon));
}

std::string version() {
    return GEOSversion();
}

}  // namespace geojepa::geos
