// Compares the sides of a ring with integer arithmetic.
#include "clip/simple_ring.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "clip/geos.hpp"

namespace geojepa {
namespace {

/// Maximum size of a ring whose sides are compared here. OSM's ways have at most 2,000 nodes. GEOS checks longer ones
/// from other sources, because comparing the sides of a ring that runs back and forth takes quadratic time.
constexpr std::size_t max_compared = 4096;

/// The side of a → b on which c lies: 1 left, 0 on the line, -1 right. Exact: differences of positions fit 33 bits,
/// products 66.
int side_of(Position a, Position b, Position c) {
    // Products of doubles are exact below 2^53 only, which is not enough for the sign of a difference near 0.
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
    std::size_t number = 0;
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

bool is_valid_by_geos(std::span<const Position> ring) {
    return GEOSisValid_r(geos::context(), geos::to_polygon({to_ring(ring)}).get()) == 1;
}

}  // namespace

bool is_simple(std::span<const Position> ring) {
    const std::size_t size = ring.size();
    if (size < 3) {
        return false;
    }
    if (size > max_compared) {
        return is_valid_by_geos(ring);
    }
    std::vector<Side> sides;
    sides.reserve(size);
    for (std::size_t i = 0; i < size; ++i) {
        sides.push_back({.a = ring[i], .b = ring[(i + 1) % size], .number = i});
    }
    // Compares all pairs of few sides. Many sides are sorted by their west ends, and compared while they overlap.
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

}  // namespace geojepa
