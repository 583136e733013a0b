// Pieces sorted in memory and through files, text in events, and arrays that move to files.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <vector>

#include "columns/piece_sorter.hpp"
#include "errors.hpp"
#include "events.hpp"
#include "read/long_array.hpp"

using namespace geojepa;

namespace {

std::vector<PieceKey> sorted_with(std::size_t memory, std::uint64_t& spilled) {
    const Grid grid{16};
    std::mt19937 random{5};
    ArrayMemory arrays{std::filesystem::temp_directory_path().string(), memory};
    PieceSorter sorter{grid, arrays, memory};
    std::size_t pieces = 0;
    std::vector<PieceKey> expected;
    for (int batch = 0; batch < 40; ++batch) {
        PieceBatch records;
        PieceBuilder builder{grid};
        for (int i = 0; i < 25; ++i) {
            TiledParts parts;
            parts.open({1000 + static_cast<std::uint32_t>(random() % 20), 20000}, schema::Role::point);
            parts.push({-1.7e9, 4e8});
            pieces +=
                builder.add(object_key(schema::OsmType::node, static_cast<std::int64_t>(random())), parts, records)
                    .records;
        }
        // Every batch has an object that covers a window of tiles. Some windows meet several groups.
        const TileIndex first{1000 + static_cast<std::uint32_t>(random() % 20),
                              19990 + static_cast<std::uint32_t>(batch)};
        const TileIndex last{first.x + static_cast<std::uint32_t>(random() % 12),
                             first.y + static_cast<std::uint32_t>(batch % 7)};
        records.covered.push_back({
            .object_key = object_key(schema::OsmType::way, batch),
            .window = {.tiles = {.first = first, .last = last}},
            .object = 9,
        });
        for (std::uint32_t y = first.y; y <= last.y; ++y) {
            for (std::uint32_t x = first.x; x <= last.x; ++x) {
                expected.push_back({grid.sort_key({x, y}), records.covered.back().object_key});
            }
        }
        for (std::size_t i = 0; i < records.first_bytes.size(); ++i) {
            expected.push_back(header_of(records.record(i)).key);
        }
        sorter.add(records);
    }
    CHECK(sorter.totals().pieces == expected.size());
    CHECK(sorter.totals().nodes == pieces);
    spilled = sorter.spilled_bytes();
    std::vector<PieceKey> keys;
    PieceView piece;
    sorter.for_each([&](std::span<const std::byte> record) {
        piece.decode(grid, record);
        CHECK(piece.nodes.size() == (piece.header.covers_tile != 0 ? 0 : 1));
        keys.push_back(piece.header.key);
    });
    std::sort(expected.begin(), expected.end());
    CHECK(keys == expected);
    return keys;
}

}  // namespace

TEST_CASE("the order of pieces does not depend on the memory") {
    std::uint64_t spilled = 0;
    const std::vector<PieceKey> in_memory = sorted_with(1U << 30U, spilled);
    CHECK(spilled == 0);
    CHECK(in_memory.size() > 1000);
    CHECK(std::is_sorted(in_memory.begin(), in_memory.end()));
    CHECK(sorted_with(1000, spilled) == in_memory);
    CHECK(spilled > 0);
    CHECK(sorted_with(20000, spilled) == in_memory);
}

TEST_CASE("object keys order by type, then id, negative ids first") {
    using schema::OsmType;
    CHECK(object_key(OsmType::node, -5) < object_key(OsmType::node, 3));
    CHECK(object_key(OsmType::node, 1LL << 50) < object_key(OsmType::way, -5));
    CHECK(object_key(OsmType::way, 7) < object_key(OsmType::relation, 1));
}

TEST_CASE("text in events is valid JSON for any bytes") {
    CHECK(json_string("a\"b\\c\n") == "\"a\\\"b\\\\c\\u000a\"");
    CHECK(json_string("\xC3\x96") == "\"\xC3\x96\"");
    CHECK(json_string("\xFF\xC3") == "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    JsonObject object;
    object.add("n", std::uint64_t{3}).add("x", 0.5).add("inner", JsonObject{});
    CHECK(object.text() == "{\"n\":3,\"x\":0.5,\"inner\":{}}");
}

TEST_CASE("an array keeps its values when it moves to a file, and returns its memory") {
    ArrayMemory memory{std::filesystem::temp_directory_path().string(), 1U << 16U};
    {
        LongArray<std::uint32_t> small{memory};
        LongArray<std::uint32_t> large{memory};
        small.push_back(7);
        for (std::uint32_t i = 0; i < 100000; ++i) {
            large.push_back(i);
        }
        CHECK(large.in_file());
        CHECK_FALSE(small.in_file());
        CHECK(small[0] == 7);
        std::uint32_t wrong = 0;
        for (std::uint32_t i = 0; i < 100000; ++i) {
            wrong += large[i] == i ? 0 : 1;
        }
        CHECK(wrong == 0);
        large.resize(5);
        large.resize(100);
        CHECK(large[4] == 4);
        CHECK(large[99] == 0);
    }
    CHECK(memory.take(1U << 16U));
}

TEST_CASE("an array that cannot move to a file reports the reason") {
    ArrayMemory memory{"/no/such/directory", 1U << 13U};
    LongArray<std::uint64_t> values{memory};
    const auto fill = [&] {
        for (std::uint64_t i = 0; i < 10000; ++i) {
            values.push_back(i);
        }
    };
    CHECK_THROWS_WITH_AS(fill(), doctest::Contains("No such file or directory"), OutputError);
}
