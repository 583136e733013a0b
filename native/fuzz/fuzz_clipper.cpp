// Takes the bytes as a ring and as a line around the corner of four tiles. Checks that clipped parts lie in their
// tiles, and that area and length are preserved.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "clip/clip_area.hpp"
#include "clip/clip_line.hpp"
#include "clip/pieces.hpp"
#include "clip/repair.hpp"
#include "clip/simple_ring.hpp"

namespace {

using namespace geojepa;

constexpr std::size_t max_points = 200;

void require(bool holds, const char* what) {
    if (!holds) {
        std::fputs(what, stderr);
        std::abort();
    }
}

/// Reads two bytes for each coordinate. Two bits of the first byte select the step, from half a unit to four units,
/// with which the points span up to twenty tiles. Another bit selects a corner at which edges are whole units.
std::vector<Position> positions_of(const std::uint8_t* data, std::size_t size) {
    const double step = std::pow(2.0, (data[0] & 3U)) / 2;
    const Position origin = (data[0] & 8U) != 0 ? Position{0, 0} : Position{-771234567, 407654321};
    std::vector<Position> positions;
    for (std::size_t at = 1; at + 4 <= size && positions.size() < max_points; at += 4) {
        std::int16_t pair[2];
        std::memcpy(pair, data + at, sizeof(pair));
        positions.push_back({origin.lon + static_cast<std::int32_t>(pair[0] * step),
                             origin.lat + static_cast<std::int32_t>(pair[1] * step)});
    }
    return positions;
}

void check_inside(const Grid& grid, const TiledParts& parts) {
    for (const TiledParts::Part& part : parts.parts) {
        const Bounds tile = grid.bounds(part.tile);
        constexpr double rounding = 1e-5;
        for (const Point p : parts.points_of(part)) {
            require(p.lon >= tile.west - rounding && p.lon <= tile.east + rounding && p.lat >= tile.south - rounding &&
                        p.lat <= tile.north + rounding,
                    "a point lies outside its tile\n");
        }
    }
}

double area_of(const Grid& grid, const TiledParts& parts) {
    double area = 0;
    for (const TiledParts::Part& part : parts.parts) {
        const double twice = twice_area(parts.points_of(part));
        require((twice > 0) == (part.role == schema::Role::outer) || twice == 0, "a ring has the wrong orientation\n");
        area += twice / 2;
    }
    for (const auto& [tiles, outlines] : parts.covered) {
        const Bounds first = grid.bounds(tiles.first);
        const Bounds last = grid.bounds(tiles.last);
        area += (last.east - first.west) * (first.north - last.south);
    }
    return area;
}

double length_of(const TiledParts& parts) {
    double length = 0;
    for (const TiledParts::Part& part : parts.parts) {
        const auto points = parts.points_of(part);
        for (std::size_t i = 1; i < points.size(); ++i) {
            length += std::hypot(points[i].lon - points[i - 1].lon, points[i].lat - points[i - 1].lat);
        }
    }
    return length;
}

void check_area(const Grid& grid, std::vector<Position> ring) {
    ring.erase(std::unique(ring.begin(), ring.end()), ring.end());
    while (ring.size() > 1 && ring.front() == ring.back()) {
        ring.pop_back();
    }
    if (ring.size() < 3) {
        return;
    }
    Ring points;
    for (const Position p : ring) {
        points.push_back({static_cast<double>(p.lon), static_cast<double>(p.lat)});
    }
    std::vector<Polygon> polygons;
    if (is_simple(ring)) {
        polygons.push_back({.rings = {points}});
        orient(polygons.front());
    } else {
        polygons = make_valid({points});
    }
    TiledParts parts;
    double expected = 0;
    for (const Polygon& polygon : polygons) {
        for (const Ring& part : polygon.rings) {
            expected += twice_area(part) / 2;
        }
        (void)clip_area(grid, grid.all_tiles(), polygon, parts);
    }
    check_inside(grid, parts);
    // A square unit is about a square centimetre. Clipping drops slivers below a thousandth of it.
    require(std::abs(area_of(grid, parts) - expected) <= 1e-9 * expected + 1.0, "area was lost or added\n");
    PieceBuilder builder{grid};
    PieceBatch batch;
    (void)builder.add(1, parts, batch);
    PieceView view;
    for (std::size_t i = 0; i < batch.first_bytes.size(); ++i) {
        view.decode(grid, batch.record(i));
    }
}

void check_line(const Grid& grid, const std::vector<Position>& line) {
    TiledParts parts;
    (void)clip_line(grid, grid.all_tiles(), line, parts);
    check_inside(grid, parts);
    double whole = 0;
    for (std::size_t i = 1; i < line.size(); ++i) {
        whole += std::hypot(static_cast<double>(line[i].lon) - line[i - 1].lon,
                            static_cast<double>(line[i].lat) - line[i - 1].lat);
    }
    require(length_of(parts) <= whole * (1 + 1e-9) + 1.0, "length was added\n");
}

}  // namespace

// Full stack traces of allocations would take half of the time.
// NOLINTNEXTLINE(readability-identifier-naming,bugprone-reserved-identifier): the sanitizer's name
extern "C" const char* __asan_default_options() {
    return "malloc_context_size=4";
}

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Grid grid{18};
    if (size > 0) {
        const std::vector<Position> positions = positions_of(data, size);
        check_area(grid, positions);
        check_line(grid, positions);
    }
    return 0;
}
