// Cuts the plane along all sides of the rings and keeps the faces that the even-odd rule puts inside.
#include "clip/repair.hpp"

#include <algorithm>

#include "clip/geos.hpp"
#include "clip/split.hpp"

namespace geojepa {
namespace {

/// Grid of the points where sides cross, in units. Rounding to it gives sides that overlap the same nodes, with no
/// sliver between them.
constexpr double node_grid = 1.0 / 1024;

/// Every side of the rings as a separate line.
geos::Geometry to_sides(const std::vector<Ring>& rings) {
    GEOSContextHandle_t context = geos::context();
    std::vector<GEOSGeometry*> sides;
    for (const Ring& ring : rings) {
        for (std::size_t i = 0, before = ring.size() - 1; i < ring.size(); before = i++) {
            if (ring[before] == ring[i]) {
                continue;
            }
            GEOSCoordSequence* sequence = GEOSCoordSeq_create_r(context, 2, 2);
            (void)GEOSCoordSeq_setXY_r(context, sequence, 0, ring[before].lon, ring[before].lat);
            (void)GEOSCoordSeq_setXY_r(context, sequence, 1, ring[i].lon, ring[i].lat);
            sides.push_back(geos::owned(GEOSGeom_createLineString_r(context, sequence)).release());
        }
    }
    return geos::owned(
        GEOSGeom_createCollection_r(context, GEOS_MULTILINESTRING, sides.data(), static_cast<unsigned>(sides.size())));
}

/// A point inside a polygon, not on its rings.
Point point_within(const GEOSGeometry* polygon) {
    GEOSContextHandle_t context = geos::context();
    const geos::Geometry point = geos::owned(GEOSPointOnSurface_r(context, polygon));
    Point place;
    (void)GEOSGeomGetX_r(context, point.get(), &place.lon);
    (void)GEOSGeomGetY_r(context, point.get(), &place.lat);
    return place;
}

bool surrounded_by_odd(const std::vector<Ring>& rings, Point point) {
    const auto around = [point](const Ring& ring) { return ring_contains(ring, point); };
    return std::count_if(rings.begin(), rings.end(), around) % 2 == 1;
}

}  // namespace

std::vector<Polygon> make_valid(const std::vector<Ring>& rings) {
    std::vector<Polygon> polygons;
    if (rings.empty() || rings.front().size() < 3) {
        return polygons;
    }
    // GEOSMakeValid fills some areas that are surrounded twice, and its time grows with the cube of the crossings.
    GEOSContextHandle_t context = geos::context();
    const geos::Geometry sides = to_sides(rings);
    const geos::Geometry noded = geos::owned(GEOSUnaryUnionPrec_r(context, sides.get(), node_grid));
    const GEOSGeometry* lines = noded.get();
    const geos::Geometry faces = geos::owned(GEOSPolygonize_r(context, &lines, 1));
    std::vector<GEOSGeometry*> inside;
    for (int i = 0; i < GEOSGetNumGeometries_r(context, faces.get()); ++i) {
        const GEOSGeometry* face = GEOSGetGeometryN_r(context, faces.get(), i);
        if (surrounded_by_odd(rings, point_within(face))) {
            inside.push_back(geos::owned(GEOSGeom_clone_r(context, face)).release());
        }
    }
    if (!inside.empty()) {
        const geos::Geometry area = geos::owned(GEOSGeom_createCollection_r(
            context, GEOS_GEOMETRYCOLLECTION, inside.data(), static_cast<unsigned>(inside.size())));
        GEOSGeometry* joined = GEOSCoverageUnion_r(context, area.get());
        const geos::Geometry valid = geos::owned(joined != nullptr ? joined : GEOSUnaryUnion_r(context, area.get()));
        geos::collect_polygons(valid.get(), polygons);
    }
    return polygons;
}

std::vector<Polygon> intersect(const Polygon& polygon, const Bounds& bounds) {
    const geos::Geometry a = geos::to_polygon(polygon.rings);
    const geos::Geometry b = geos::to_polygon({rectangle_ring(bounds)});
    const geos::Geometry common = geos::owned(GEOSIntersection_r(geos::context(), a.get(), b.get()));
    std::vector<Polygon> polygons;
    geos::collect_polygons(common.get(), polygons);
    // The overlay may miss an edge by a rounding error, but later cuts need the exact edge.
    for (Polygon& part : polygons) {
        for (Ring& ring : part.rings) {
            for (Point& p : ring) {
                p = {std::clamp(p.lon, bounds.west, bounds.east), std::clamp(p.lat, bounds.south, bounds.north)};
            }
        }
    }
    return polygons;
}

}  // namespace geojepa
