// Rounded parts, and outlines of covered tiles.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <ranges>
#include <set>
#include <utility>
#include <vector>

#include "clip/pieces.hpp"

using namespace geojepa;

TEST_CASE("a sliver that rounding would reverse keeps the orientation of its role") {
    const Grid grid{16};
    const TileIndex tile{32768, 32767};  // its south-west corner is at 0, 0
    TiledParts parts;
    // It is 0.2 units wide. Rounding moves its middle vertex to the other side.
    const Ring sliver{{0, 0}, {1000, 0.6}, {2000, 1.4}};
    REQUIRE(twice_area(sliver) > 0);
    parts.add_polygon(tile, {{sliver}});
    PieceBatch batch;
    (void)PieceBuilder{grid}.add(1, parts, batch);
    PieceView piece;
    piece.decode(grid, batch.record(0));
    REQUIRE(piece.nodes.size() == 3);
    Ring rounded;
    for (const Position node : piece.nodes) {
        rounded.push_back({static_cast<double>(node.lon), static_cast<double>(node.lat)});
    }
    CHECK(twice_area(rounded) > 0);
}

TEST_CASE("covered tiles become outlines, as counts for tiles with parts and as windows elsewhere") {
    std::mt19937 random{11};
    const auto number = [&](std::uint32_t most) { return static_cast<std::uint32_t>(random() % most); };
    for (int round = 0; round < 200; ++round) {
        TiledParts parts;
        std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> outlines;
        std::set<std::pair<std::uint32_t, std::uint32_t>> with_parts;
        for (std::uint32_t i = number(6); i > 0; --i) {
            const TileIndex first{number(9), number(9)};
            const TileIndex last{first.x + number(5), first.y + number(5)};
            parts.covered.push_back({.tiles = {.first = first, .last = last}});
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
        const std::size_t drawn = parts.parts.size();
        parts.outline_covered();
        CHECK(parts.parts.size() == drawn);
        std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> found;
        for (const auto& [tile, times] : parts.outlined) {
            CHECK(with_parts.contains({tile.x, tile.y}));
            CHECK(found.emplace(std::pair{tile.x, tile.y}, times).second);
        }
        CHECK(std::ranges::is_sorted(parts.outlined, {}, [](const OutlinedTile& outlined) {
            return std::pair{outlined.tile.y, outlined.tile.x};
        }));
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

TEST_CASE("outlines become parts of a piece, with or without other parts") {
    const Grid grid{16};
    const TileIndex tile{18052, 25957};
    const Bounds bounds = grid.bounds(tile);
    PieceBuilder builder{grid};
    // `drawn` has three rings after a line, `outlined` three outlines instead.
    TiledParts drawn;
    TiledParts outlined;
    for (TiledParts* parts : {&drawn, &outlined}) {
        parts->open({tile.x + 1, tile.y}, schema::Role::point);
        parts->push({bounds.east + 5, bounds.north - 5});
        parts->open(tile, schema::Role::line);
        parts->push({bounds.west + 5, bounds.south + 5});
        parts->push({bounds.east - 5, bounds.north - 5});
    }
    for (int member = 0; member < 3; ++member) {
        drawn.add_polygon(tile, {{rectangle_ring(bounds)}});
    }
    // Outlined tiles without parts are ignored.
    outlined.outlined = {
        {.tile = {tile.x, tile.y - 1}, .outlines = 7},
        {.tile = tile, .outlines = 3},
        {.tile = {tile.x, tile.y + 1}, .outlines = 7},
    };
    PieceBatch expected;
    PieceBatch batch;
    (void)builder.add(5, drawn, expected);
    (void)builder.add(5, outlined, batch);
    REQUIRE(batch.first_bytes.size() == 2);
    CHECK(batch.bytes.size() < expected.bytes.size());
    PieceView rings;
    PieceView piece;
    for (std::size_t i = 0; i < 2; ++i) {
        rings.decode(grid, expected.record(i));
        piece.decode(grid, batch.record(i));
        CHECK(piece.roles == rings.roles);
        CHECK(piece.part_nodes == rings.part_nodes);
        CHECK(piece.nodes == rings.nodes);
        CHECK(piece.header.key == rings.header.key);
        CHECK(piece.header.area_m2 == rings.header.area_m2);
        CHECK(piece.header.length_m == rings.header.length_m);
    }
}

TEST_CASE("a piece of outlines alone equals one of drawn rings, and a marked piece has no nodes") {
    const Grid grid{16};
    const TileIndex tile{18052, 25957};
    PieceBuilder builder{grid};
    TiledParts three;
    for (int member = 0; member < 3; ++member) {
        three.add_polygon(tile, {{rectangle_ring(grid.bounds(tile))}});
    }
    PieceBatch alone;
    (void)builder.add(5, three, alone);
    PieceView rings;
    rings.decode(grid, alone.record(0));
    CoveredTiles covered{
        .object_key = 5,
        .window = {.tiles = {.first = tile, .last = tile}, .outlines = 3},
        .object = 8,
    };
    const PieceHeader header = builder.covering(tile, covered);
    PieceView piece;
    piece.decode(grid, std::as_bytes(std::span{&header, 1}));
    CHECK(piece.nodes == rings.nodes);
    CHECK(piece.roles == rings.roles);
    CHECK(piece.header.object == 8);
    CHECK_FALSE(static_cast<bool>(piece.header.covers_tile));
    CHECK(piece.header.area_m2 == rings.header.area_m2);
    covered.window.outlines = 0;
    const PieceHeader marked = builder.covering(tile, covered);
    piece.decode(grid, std::as_bytes(std::span{&marked, 1}));
    CHECK(static_cast<bool>(piece.header.covers_tile));
    CHECK(piece.nodes.empty());
    CHECK(piece.header.area_m2 == doctest::Approx(rings.header.area_m2 / 3));
}
