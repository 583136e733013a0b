// Parts rounded to the unit.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <ranges>
#include <set>
#include <utility>
#include <vector>

#include "pieces.hpp"

using namespace geojepa;

TEST_CASE("a sliver that rounding turns over keeps the winding of its role") {
    const Grid grid{16};
    const TileIndex tile{32768, 32767};  // its south-west corner is at 0, 0
    TiledParts parts;
    // 0.2 units wide: on whole units its middle vertex lies on the other side.
    const Ring sliver{{0, 0}, {1000, 0.6}, {2000, 1.4}};
    REQUIRE(twice_area(sliver) > 0);
    parts.add_polygon(tile, {{sliver}});
    PieceBatch batch;
    (void)PieceBuilder{grid}.add(1, parts, batch);
    PieceView piece;
    piece.decode(batch.record(0));
    REQUIRE(piece.nodes.size() == 3);
    Ring rounded;
    for (const Position node : piece.nodes) {
        rounded.push_back({static_cast<double>(node.lon), static_cast<double>(node.lat)});
    }
    CHECK(twice_area(rounded) > 0);
}

TEST_CASE("covered tiles become outlines: parts where there are parts, rectangles elsewhere") {
    const Grid grid{16};
    std::mt19937 random{11};
    const auto number = [&](std::uint32_t most) { return static_cast<std::uint32_t>(random() % most); };
    for (int round = 0; round < 200; ++round) {
        TiledParts parts;
        std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> outlines;
        std::set<std::pair<std::uint32_t, std::uint32_t>> with_parts;
        for (std::uint32_t i = number(6); i > 0; --i) {
            const TileIndex first{number(9), number(9)};
            const TileIndex last{first.x + number(5), first.y + number(5)};
            parts.covered.push_back({{first, last}});
            for (std::uint32_t y = first.y; y <= last.y; ++y) {
                for (std::uint32_t x = first.x; x <= last.x; ++x) {
                    ++outlines[{x, y}];
                }
            }
        }
        for (std::uint32_t i = number(20); i > 0; --i) {
            const TileIndex tile{number(14), number(14)};
            parts.open(tile, schema::Role::point);
            parts.push({0, 0});
            with_parts.emplace(tile.x, tile.y);
        }
        const std::size_t points = parts.parts.size();
        parts.outline_covered(grid);
        std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> found;
        for (std::size_t i = points; i < parts.parts.size(); ++i) {
            const TiledParts::Part& part = parts.parts[i];
            CHECK(with_parts.contains({part.tile.x, part.tile.y}));
            const auto ring = parts.points_of(part);
            CHECK(Ring(ring.begin(), ring.end()) == outline_of(grid.bounds(part.tile)));
            ++found[{part.tile.x, part.tile.y}];
        }
        for (const auto& [tiles, times] : parts.covered) {
            for (std::uint32_t y = tiles.first.y; y <= tiles.last.y; ++y) {
                for (std::uint32_t x = tiles.first.x; x <= tiles.last.x; ++x) {
                    CHECK_FALSE(with_parts.contains({x, y}));
                    CHECK(found.emplace(std::pair{x, y}, times).second);
                }
            }
        }
        CHECK(found == outlines);
    }
}

TEST_CASE("the record of a covered tile has the outlines of the members that cover it, or none") {
    const Grid grid{16};
    const TileIndex tile{18052, 25957};
    PieceBuilder builder{grid};
    TiledParts parts;
    for (int member = 0; member < 3; ++member) {
        parts.add_polygon(tile, {{outline_of(grid.bounds(tile))}});
    }
    PieceBatch drawn;
    (void)builder.add(5, parts, drawn);
    set_object(drawn.bytes, 8);
    const auto outlined = builder.covering(tile, {5, {{tile, tile}, 3}, 8});
    CHECK(std::ranges::equal(outlined, drawn.record(0)));
    PieceView piece;
    piece.decode(builder.covering(tile, {5, {{tile, tile}, 0}, 8}));
    CHECK(piece.header.covers_tile == 1);
    CHECK(piece.nodes.empty());
    CHECK(piece.header.area_m2 == doctest::Approx(header_of(drawn.record(0)).area_m2 / 3));
}
