// Points with integer coordinates, and exact predicates on them.
//
// Vertices are stored on a lattice with a step of about a centimetre (tile units in fixed point). Predicates use these
// stored points and 64-bit integers, so they are exact and hold for what a reader sees.
#pragma once

#include <algorithm>
#include <cstdint>

namespace geojepa {

struct LatticePoint {
    std::int32_t x;
    std::int32_t y;

    friend bool operator==(const LatticePoint&, const LatticePoint&) = default;
};

struct LatticeSegment {
    LatticePoint from;
    LatticePoint to;
};

/// Bound of the magnitude of coordinates. Cross products and squared distances then fit 64 bits.
inline constexpr std::int32_t lattice_limit = 1 << 24;

/// Twice the signed area of (origin, a, b): positive where b lies to the left of origin → a.
inline std::int64_t cross(LatticePoint origin, LatticePoint a, LatticePoint b) {
    return std::int64_t{a.x - origin.x} * (b.y - origin.y) - std::int64_t{a.y - origin.y} * (b.x - origin.x);
}

inline std::int64_t squared_distance(LatticePoint a, LatticePoint b) {
    const std::int64_t dx = a.x - b.x;
    const std::int64_t dy = a.y - b.y;
    return dx * dx + dy * dy;
}

/// The ways in which two segments can meet.
enum class Contact {
    none,
    shared_end,  ///< one point, an end of both
    touch,       ///< one point, an end of one and inside the other
    overlap,     ///< more than one point
    cross,       ///< one point, inside both
};

Contact contact(const LatticeSegment& s, const LatticeSegment& t);

/// Whether the point lies on the segment and is neither of its ends.
bool inside_segment(LatticePoint point, const LatticeSegment& segment);

}  // namespace geojepa
