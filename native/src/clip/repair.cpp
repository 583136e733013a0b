// Speaks to GEOS by its reentrant C interface, with one context a thread.
#include "clip/repair.hpp"

#include <geos_c.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <utility>

#include "clip/split.hpp"
#include "errors.hpp"

namespace geojepa {
namespace {

/// Where sides cross, in units: rounded to this, sides that overlap get the same nodes, and no sliver between them.
constexpr double node_grid = 1.0 / 1024;

/// OSM's ways have at most 2,000 nodes. Longer ones, of other sources, are for GEOS: comparing the sides of a ring that
/// goes to and fro is quadratic.
constexpr std::size_t most_compared = 4096;

/// -1, 0, 1: on which side of a → b the point c lies. Exact: differences of positions fit 33 bits, products 66.
int side_of(Position a, Position b, Position c) {
    // Two doubles' product is exact below 2^53 only, so the sign of a difference near 0 is decided in 128 bits.
    __extension__ using Wide = __int128;
    const auto d = [](std::int32_t from, std::int32_t to) { return static_cast<std::int64_t>(to) - from; };
    const Wide left = static_cast<Wide>(d(a.lon, b.lon)) * d(a.lat, c.lat);
    const Wide right = static_cast<Wide>(d(a.lat, b.lat)) * d(a.lon, c.lon);
    return left > right ? 1 : (left < right ? -1 : 0);
}

bool in_box(Position a, Position b, Position p) {
    return p.lon >= std::min(a.lon, b.lon) && p.lon <= std::max(a.lon, b.lon) && p.lat >= std::min(a.lat, b.lat) &&
           p.lat <= std::max(a.lat, b.lat);
}

bool segments_meet(Position a, Position b, Position c, Position d) {
    const int abc = side_of(a, b, c);
    const int abd = side_of(a, b, d);
    const int cda = side_of(c, d, a);
    const int cdb = side_of(c, d, b);
    if (abc * abd < 0 && cda * cdb < 0) {
        return true;
    }
    return (abc == 0 && in_box(a, b, c)) || (abd == 0 && in_box(a, b, d)) || (cda == 0 && in_box(c, d, a)) ||
           (cdb == 0 && in_box(c, d, b));
}

/// Whether b → c runs back over a → b.
bool turns_back(Position a, Position b, Position c) {
    return side_of(a, b, c) == 0 && (in_box(a, b, c) || in_box(b, c, a));
}

struct Side {
    Position a, b;
    std::size_t number;
    std::int32_t west() const { return std::min(a.lon, b.lon); }
    std::int32_t east() const { return std::max(a.lon, b.lon); }
};

bool sides_conflict(const Side& s, const Side& t, std::size_t sides) {
    const std::size_t gap = s.number < t.number ? t.number - s.number : s.number - t.number;
    if (gap == 1) {
        const auto& [first, second] = s.number < t.number ? std::pair{s, t} : std::pair{t, s};
        return turns_back(first.a, first.b, second.b);
    }
    if (gap == sides - 1) {
        const auto& [last, first] = s.number < t.number ? std::pair{t, s} : std::pair{s, t};
        return turns_back(last.a, last.b, first.b);
    }
    return segments_meet(s.a, s.b, t.a, t.b);
}

class Geos {
public:
    Geos() : context_(GEOS_init_r()) {
        GEOSContext_setNoticeMessageHandler_r(
            context_, [](const char*, void*) {}, nullptr);
        GEOSContext_setErrorMessageHandler_r(
            context_, [](const char*, void*) {}, nullptr);
    }
    ~Geos() { GEOS_finish_r(context_); }
    Geos(const Geos&) = delete;
    Geos& operator=(const Geos&) = delete;

    GEOSContextHandle_t get() const { return context_; }

    static const Geos& of_this_thread() {
        thread_local const Geos geos;
        return geos;
    }

private:
    GEOSContextHandle_t context_;
};

struct Destroy {
    void operator()(GEOSGeometry* geometry) const { GEOSGeom_destroy_r(Geos::of_this_thread().get(), geometry); }
};
using Geometry = std::unique_ptr<GEOSGeometry, Destroy>;

Geometry owned(GEOSGeometry* geometry) {
    if (geometry == nullptr) {
        throw InputError("GEOS cannot build a geometry");
    }
    return Geometry{geometry};
}

Geometry to_geos_ring(const Ring& ring) {
    GEOSContextHandle_t context = Geos::of_this_thread().get();
    const auto size = static_cast<unsigned>(ring.size() + 1);
    GEOSCoordSequence* sequence = GEOSCoordSeq_create_r(context, size, 2);
    for (unsigned i = 0; i < size; ++i) {
        const Point& point = ring[i % ring.size()];
        (void)GEOSCoordSeq_setXY_r(context, sequence, i, point.lon, point.lat);
    }
    return owned(GEOSGeom_createLinearRing_r(context, sequence));
}

Geometry to_geos_polygon(const std::vector<Ring>& rings) {
    GEOSContextHandle_t context = Geos::of_this_thread().get();
    Geometry outer = to_geos_ring(rings.front());
    std::vector<GEOSGeometry*> holes;
    for (std::size_t i = 1; i < rings.size(); ++i) {
        holes.push_back(to_geos_ring(rings[i]).release());
    }
    return owned(GEOSGeom_createPolygon_r(context, outer.release(), holes.data(), static_cast<unsigned>(holes.size())));
}

bool is_valid(std::span<const Position> ring) {
    return GEOSisValid_r(Geos::of_this_thread().get(), to_geos_polygon({to_ring(ring)}).get()) == 1;
}

/// Every side of the rings as a line of its own.
Geometry to_geos_sides(const std::vector<Ring>& rings) {
    GEOSContextHandle_t context = Geos::of_this_thread().get();
    std::vector<GEOSGeometry*> sides;
    for (const Ring& ring : rings) {
        for (std::size_t i = 0, before = ring.size() - 1; i < ring.size(); before = i++) {
            if (ring[before] == ring[i]) {
                continue;
            }
            GEOSCoordSequence* sequence = GEOSCoordSeq_create_r(context, 2, 2);
            (void)GEOSCoordSeq_setXY_r(context, sequence, 0, ring[before].lon, ring[before].lat);
            (void)GEOSCoordSeq_setXY_r(context, sequence, 1, ring[i].lon, ring[i].lat);
            sides.push_back(owned(GEOSGeom_createLineString_r(context, sequence)).release());
        }
    }
    return owned(
        GEOSGeom_createCollection_r(context, GEOS_MULTILINESTRING, sides.data(), static_cast<unsigned>(sides.size())));
}

/// A point inside a polygon, not on its rings.
Point point_within(const GEOSGeometry* polygon) {
    GEOSContextHandle_t context = Geos::of_this_thread().get();
    const Geometry point = owned(GEOSPointOnSurface_r(context, polygon));
    Point place;
    (void)GEOSGeomGetX_r(context, point.get(), &place.lon);
    (void)GEOSGeomGetY_r(context, point.get(), &place.lat);
    return place;
}

bool surrounded_by_odd(const std::vector<Ring>& rings, Point point) {
    const auto around = [point](const Ring& ring) { return ring_contains(ring, point); };
    return std::count_if(rings.begin(), rings.end(), around) % 2 == 1;
}

Ring from_geos_ring(const GEOSGeometry* geometry) {
    GEOSContextHandle_t context = Geos::of_this_thread().get();
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

/// Adds every polygon inside `geometry`, which may be a collection.
void collect_polygons(const GEOSGeometry* geometry, std::vector<Polygon>& out) {
    GEOSContextHandle_t context = Geos::of_this_thread().get();
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

}  // namespace

bool is_simple(std::span<const Position> ring) {
    const std::size_t size = ring.size();
    if (size < 3) {
        return false;
    }
    if (size > most_compared) {
        return is_valid(ring);
    }
    std::vector<Side> sides;
    sides.reserve(size);
    for (std::size_t i = 0; i < size; ++i) {
        sides.push_back({ring[i], ring[(i + 1) % size], i});
    }
    // Few sides are compared all with all; many in the order of their west ends, as far as they overlap.
    constexpr std::size_t few = 12;
    if (size > few) {
        std::sort(sides.begin(), sides.end(), [](const Side& s, const Side& t) { return s.west() < t.west(); });
    }
    for (std::size_t i = 0; i < size; ++i) {
        for (std::size_t j = i + 1; j < size; ++j) {
            if (size > few && sides[j].west() > sides[i].east()) {
                break;
            }
            if (sides_conflict(sides[i], sides[j], size)) {
                return false;
            }
        }
    }
    return true;
}

std::vector<Polygon> make_valid(const std::vector<Ring>& rings) {
    std::vector<Polygon> polygons;
    if (rings.empty() || rings.front().size() < 3) {
        return polygons;
    }
    // Not GEOSMakeValid: it fills some of what is surrounded twice, and takes the third power of the crossings.
    GEOSContextHandle_t context = Geos::of_this_thread().get();
    const Geometry sides = to_geos_sides(rings);
    const Geometry noded = owned(GEOSUnaryUnionPrec_r(context, sides.get(), node_grid));
    const GEOSGeometry* lines = noded.get();
    const Geometry faces = owned(GEOSPolygonize_r(context, &lines, 1));
    std::vector<GEOSGeometry*> inside;
    for (int i = 0; i < GEOSGetNumGeometries_r(context, faces.get()); ++i) {
        const GEOSGeometry* face = GEOSGetGeometryN_r(context, faces.get(), i);
        if (surrounded_by_odd(rings, point_within(face))) {
            inside.push_back(owned(GEOSGeom_clone_r(context, face)).release());
        }
    }
    if (!inside.empty()) {
        const Geometry area = owned(GEOSGeom_createCollection_r(context, GEOS_GEOMETRYCOLLECTION, inside.data(),
                                                                static_cast<unsigned>(inside.size())));
        GEOSGeometry* joined = GEOSCoverageUnion_r(context, area.get());
        const Geometry valid = owned(joined != nullptr ? joined : GEOSUnaryUnion_r(context, area.get()));
        collect_polygons(valid.get(), polygons);
    }
    return polygons;
}

std::vector<Polygon> intersect(const Polygon& polygon, const Bounds& bounds) {
    const Polygon box{{{{bounds.west, bounds.south},
                        {bounds.east, bounds.south},
                        {bounds.east, bounds.north},
                        {bounds.west, bounds.north}}}};
    const Geometry a = to_geos_polygon(polygon.rings);
    const Geometry b = to_geos_polygon(box.rings);
    const Geometry common = owned(GEOSIntersection_r(Geos::of_this_thread().get(), a.get(), b.get()));
    std::vector<Polygon> polygons;
    collect_polygons(common.get(), polygons);
    // The overlay may miss an edge by its last digit; whoever cuts again must find the edge exactly.
    for (Polygon& part : polygons) {
        for (Ring& ring : part.rings) {
            for (Point& p : ring) {
                p = {std::clamp(p.lon, bounds.west, bounds.east), std::clamp(p.lat, bounds.south, bounds.north)};
            }
        }
    }
    return polygons;
}

std::vector<Polygon> polygons_of_geojson(const std::string& text) {
    GEOSContextHandle_t context = Geos::of_this_thread().get();
    GEOSGeoJSONReader* reader = GEOSGeoJSONReader_create_r(context);
    GEOSGeometry* geometry = GEOSGeoJSONReader_readGeometry_r(context, reader, text.c_str());
    GEOSGeoJSONReader_destroy_r(context, reader);
    if (geometry == nullptr) {
        throw InputError("the polygon file is not valid GeoJSON", "--polygon area.geojson");
    }
    const Geometry owner{geometry};
    std::vector<Polygon> polygons;
    collect_polygons(geometry, polygons);
    for (Polygon& polygon : polygons) {
        for (Ring& ring : polygon.rings) {
            for (Point& p : ring) {
                p = {p.lon * units_per_degree, p.lat * units_per_degree};
            }
        }
    }
    return polygons;
}

std::string geos_version() {
    return GEOSversion();
}

}  // namespace geojepa
