// The edges of tiles, and the tile of a position.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "clip/grid.hpp"
#include "errors.hpp"

using namespace geojepa;

TEST_CASE("a tile includes its west and north edges, and excludes the others") {
    const Grid grid{16};
    const TileIndex tile{18052, 25957};
    const Bounds bounds = grid.bounds(tile);
    CHECK(grid.column(bounds.west) == tile.x);
    CHECK(grid.column(std::nextafter(bounds.east, bounds.west)) == tile.x);
    CHECK(grid.column(bounds.east) == tile.x + 1);
    CHECK(grid.row(bounds.north) == tile.y);
    CHECK(grid.row(std::nextafter(bounds.south, bounds.north)) == tile.y);
    CHECK(grid.row(bounds.south) == tile.y + 1);
}

TEST_CASE("tiles match the Web Mercator formula at every zoom") {
    for (std::uint32_t zoom = 14; zoom <= 18; ++zoom) {
        const Grid grid{zoom};
        for (double lat = -84.7; lat < 85; lat += 1.37) {
            const double radians = lat * std::numbers::pi / 180;
            const double y = (1 - std::asinh(std::tan(radians)) / std::numbers::pi) / 2 * grid.side();
            CHECK(grid.row(lat * units_per_degree) == static_cast<std::uint32_t>(y));
            CHECK(grid.column(lat * units_per_degree) == static_cast<std::uint32_t>((lat + 180) / 360 * grid.side()));
        }
    }
}

TEST_CASE("the edges of the world belong to the outermost tiles, and the poles to none") {
    const Grid grid{16};
    CHECK(grid.column(-180 * units_per_degree) == 0);
    CHECK(grid.column(180 * units_per_degree) == grid.side() - 1);
    CHECK(grid.row(90 * units_per_degree) == 0);
    CHECK(grid.row(-90 * units_per_degree) == grid.side() - 1);
    CHECK(grid.covers_latitude(85.05 * units_per_degree));
    CHECK_FALSE(grid.covers_latitude(85.06 * units_per_degree));
    CHECK_FALSE(grid.covers_latitude(-85.06 * units_per_degree));
}

TEST_CASE("sort keys order tiles by zoom-14 group, row and column, and convert back to the tile") {
    const Grid grid{16};
    const auto key = [&](std::uint32_t x, std::uint32_t y) { return grid.sort_key({x, y}); };
    CHECK(key(7, 3) < key(0, 4));  // another group, further south
    CHECK(key(0, 3) < key(4, 0));  // another group, further east
    CHECK(key(3, 1) < key(0, 2));  // one group: rows
    CHECK(key(1, 2) < key(2, 2));  // one row: columns
    for (const TileIndex tile : {TileIndex{0, 0}, TileIndex{65535, 65535}, TileIndex{18052, 25957}}) {
        CHECK(grid.from_sort_key(grid.sort_key(tile)) == tile);
    }
}

TEST_CASE("zooms outside 14 to 18 are refused") {
    CHECK_THROWS_AS(Grid{13}, UsageError);
    CHECK_THROWS_AS(Grid{19}, UsageError);
}
