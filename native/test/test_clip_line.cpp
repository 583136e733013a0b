// Lines clipped to tiles of zoom 16. Places are in tiles, relative to the corner of tile (32768, 32768), where the
// equator meets the meridian of Greenwich. y runs southwards.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "clip/clip_line.hpp"

using namespace geojepa;

namespace {

const Grid grid{16};
constexpr std::uint32_t corner = 32768;
constexpr double side = 54931.640625;  // of a tile at the equator, in 1e-7 degrees

std::vector<Position> line(const std::vector<std::pair<double, double>>& places) {
    std::vector<Position> positions;
    for (const auto& [x, y] : places) {
        positions.push_back(
            {static_cast<std::int32_t>(std::lround(x * side)), static_cast<std::int32_t>(std::lround(-y * side))});
    }
    return positions;
}

std::vector<std::pair<int, int>> tiles_of(const TiledParts& parts) {
    std::vector<std::pair<int, int>> tiles;
    for (const TiledParts::Part& part : parts.parts) {
        tiles.emplace_back(static_cast<int>(part.tile.x) - static_cast<int>(corner),
                           static_cast<int>(part.tile.y) - static_cast<int>(corner));
    }
    return tiles;
}

TiledParts clip(const std::vector<std::pair<double, double>>& places) {
    TiledParts out;
    (void)clip_line(grid, grid.all_tiles(), line(places), out);
    return out;
}

using Tiles = std::vector<std::pair<int, int>>;

double length(std::span<const Point> points) {
    double sum = 0;
    for (std::size_t i = 1; i < points.size(); ++i) {
        sum += std::hypot(points[i].lon - points[i - 1].lon, points[i].lat - points[i - 1].lat);
    }
    return sum;
}

}  // namespace

TEST_CASE("a line inside one tile keeps all its vertices") {
    const TiledParts out = clip({{0.1, 0.1}, {0.5, 0.2}, {0.9, 0.9}});
    CHECK(tiles_of(out) == Tiles{{0, 0}});
    CHECK(out.points.size() == 3);
}

TEST_CASE("a segment has a part in tiles that it passes without a vertex there") {
    CHECK(tiles_of(clip({{0.5, 0.5}, {3.5, 0.6}})) == Tiles{{0, 0}, {1, 0}, {2, 0}, {3, 0}});
    CHECK(tiles_of(clip({{3.5, 0.6}, {0.5, 0.5}})) == Tiles{{3, 0}, {2, 0}, {1, 0}, {0, 0}});
}

TEST_CASE("a part ends exactly on the edge and the next one starts there") {
    const TiledParts out = clip({{0.5, 0.5}, {1.5, 0.5}});
    REQUIRE(out.parts.size() == 2);
    CHECK(out.points_of(out.parts[0]).back().lon == grid.west_edge(corner + 1));
    CHECK(out.points_of(out.parts[0]).back() == out.points_of(out.parts[1]).front());
}

TEST_CASE("a line that returns to a tile has two parts there") {
    CHECK(tiles_of(clip({{0.2, 0.2}, {1.2, 0.2}, {1.2, 0.8}, {0.2, 0.8}})) == Tiles{{0, 0}, {1, 0}, {0, 0}});
}

TEST_CASE("a closed line whose ends meet inside a tile has one part through its ends") {
    const TiledParts out = clip({{0.5, 0.2}, {1.5, 0.2}, {1.5, 0.8}, {0.5, 0.8}, {0.5, 0.2}});
    REQUIRE(out.parts.size() == 2);
    CHECK(out.points_of(out.parts[0]).size() == 4);
    CHECK(out.points_of(out.parts[0]).front().lon == grid.west_edge(corner + 1));
    CHECK(out.points_of(out.parts[0]).back().lon == grid.west_edge(corner + 1));
}

TEST_CASE("a stretch along an edge is in neither tile") {
    // The meridian of Greenwich is the west edge of tile (0, 0).
    CHECK(clip({{0, 0.2}, {0, 0.8}}).parts.empty());
    CHECK(tiles_of(clip({{-0.5, 0.2}, {0, 0.2}, {0, 0.8}, {0.5, 0.8}})) == Tiles{{-1, 0}, {0, 0}});
    CHECK(tiles_of(clip({{0.5, 0.2}, {0, 0.2}, {0, 0.8}, {0.5, 0.8}})) == Tiles{{0, 0}, {0, 0}});
}

TEST_CASE("a line that only touches an edge stays one part") {
    CHECK(tiles_of(clip({{0.5, 0.2}, {0, 0.5}, {0.5, 0.8}})) == Tiles{{0, 0}});
    CHECK(tiles_of(clip({{-0.5, 0.5}, {0.5, -0.5}})) == Tiles{{-1, 0}, {0, -1}});  // through the corner
}

TEST_CASE("a line of length 0 has no parts") {
    TiledParts out;
    CHECK_FALSE(clip_line(grid, grid.all_tiles(), line({{0.5, 0.5}, {0.5, 0.5}}), out).has_length);
    CHECK_FALSE(clip_line(grid, grid.all_tiles(), line({{0.5, 0.5}}), out).has_length);
    CHECK(out.parts.empty());
}

TEST_CASE("a segment across the antimeridian is cut there, at the same latitude on both sides") {
    const std::vector<Position> positions{{1799000000, 100}, {1799900000, 100}, {-1799700000, 500}, {-1799000000, 100}};
    TiledParts out;
    CHECK(clip_line(grid, grid.all_tiles(), positions, out).antimeridian_segments == 1);
    std::vector<Point> at_edge;
    for (const TiledParts::Part& part : out.parts) {
        const Bounds tile = grid.bounds(part.tile);
        for (const Point p : out.points_of(part)) {
            CHECK((p.lon >= tile.west && p.lon <= tile.east));
            if (std::abs(p.lon) == 1.8e9) {
                at_edge.push_back(p);
            }
        }
    }
    REQUIRE(at_edge.size() == 2);
    CHECK(at_edge[0].lon == 1.8e9);
    CHECK(at_edge[1].lon == -1.8e9);
    CHECK(at_edge[0].lat == doctest::Approx(200));  // a quarter of the way
    CHECK(at_edge[1].lat == at_edge[0].lat);
}

TEST_CASE("only tiles of the window have parts") {
    TiledParts out;
    const TileWindow window{.first = {corner + 1, corner}, .last = {corner + 2, corner}};
    (void)clip_line(grid, window, line({{0.5, 0.5}, {4.5, 0.5}}), out);
    CHECK(tiles_of(out) == Tiles{{1, 0}, {2, 0}});
}

TEST_CASE("random lines keep their length, lie in their tiles, and are in every tile that a fine walk finds") {
    std::mt19937 random{3};
    std::uniform_real_distribution<double> place{-2, 2};
    for (int round = 0; round < 300; ++round) {
        const std::vector<Position> positions =
            line({{place(random), place(random)}, {place(random), place(random)}, {place(random), place(random)}});
        TiledParts out;
        (void)clip_line(grid, grid.all_tiles(), positions, out);
        double sum = 0;
        std::set<std::pair<std::uint32_t, std::uint32_t>> tiles;
        for (const TiledParts::Part& part : out.parts) {
            tiles.emplace(part.tile.x, part.tile.y);
            const Bounds b = grid.bounds(part.tile);
            for (const Point p : out.points_of(part)) {
                const bool within = p.lon >= b.west - 1e-3 && p.lon <= b.east + 1e-3 && p.lat >= b.south - 1e-3 &&
                                    p.lat <= b.north + 1e-3;
                CHECK(within);
            }
            sum += length(out.points_of(part));
        }
        double whole = 0;
        int missed = 0;
        for (std::size_t i = 0; i + 1 < positions.size(); ++i) {
            const Point a{static_cast<double>(positions[i].lon), static_cast<double>(positions[i].lat)};
            const Point b{static_cast<double>(positions[i + 1].lon), static_cast<double>(positions[i + 1].lat)};
            whole += std::hypot(b.lon - a.lon, b.lat - a.lat);
            for (int k = 1; k < 1000; ++k) {
                const double t = k / 1000.0;
                const double lon = a.lon + t * (b.lon - a.lon);
                const double lat = a.lat + t * (b.lat - a.lat);
                missed += tiles.contains({grid.column(lon), grid.row(lat)}) ? 0 : 1;
            }
        }
        CHECK(missed == 0);
        CHECK(sum == doctest::Approx(whole).epsilon(1e-9));
    }
}
