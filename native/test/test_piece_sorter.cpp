// Records sorted in memory and through files.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <vector>

#include "events.hpp"
#include "piece_sorter.hpp"

using namespace geojepa;

namespace {

std::vector<PieceKey> sorted_with(std::size_t memory, std::uint64_t& spilled) {
    const Grid grid{16};
    std::mt19937 random{5};
    PieceSorter sorter{std::filesystem::temp_directory_path().string(), memory};
    std::size_t pieces = 0;
    for (int batch = 0; batch < 40; ++batch) {
        PieceBatch records;
        PieceBuilder builder{grid};
        for (int i = 0; i < 25; ++i) {
            TiledParts parts;
            parts.open({1000 + static_cast<std::uint32_t>(random() % 20), 20000}, schema::Role::point);
            parts.push({-1.7e9, 4e8});
            pieces += builder.add(object_key(schema::OsmType::node, static_cast<std::int64_t>(random())), parts, false,
                                  records);
        }
        sorter.add(std::move(records));
    }
    CHECK(sorter.totals().pieces == pieces);
    CHECK(sorter.totals().nodes == pieces);
    spilled = sorter.spilled_bytes();
    std::vector<PieceKey> keys;
    PieceView piece;
    sorter.for_each([&](std::span<const std::byte> record) {
        piece.decode(record);
        CHECK(piece.nodes.size() == 1);
        keys.push_back(piece.header.key);
    });
    return keys;
}

}  // namespace

TEST_CASE("the order does not depend on the memory") {
    std::uint64_t spilled = 0;
    const std::vector<PieceKey> in_memory = sorted_with(1U << 30U, spilled);
    CHECK(spilled == 0);
    CHECK(in_memory.size() == 1000);
    CHECK(std::is_sorted(in_memory.begin(), in_memory.end()));
    CHECK(sorted_with(1000, spilled) == in_memory);
    CHECK(spilled > 0);
    CHECK(sorted_with(20000, spilled) == in_memory);
}

TEST_CASE("object keys go by type, then id, negative ids first") {
    using schema::OsmType;
    CHECK(object_key(OsmType::node, -5) < object_key(OsmType::node, 3));
    CHECK(object_key(OsmType::node, 1LL << 50) < object_key(OsmType::way, -5));
    CHECK(object_key(OsmType::way, 7) < object_key(OsmType::relation, 1));
}

TEST_CASE("text in events is JSON whatever bytes it holds") {
    CHECK(json_string("a\"b\\c\n") == "\"a\\\"b\\\\c\\u000a\"");
    CHECK(json_string("\xC3\x96") == "\"\xC3\x96\"");
    CHECK(json_string("\xFF\xC3") == "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    JsonObject object;
    object.add("n", std::uint64_t{3}).add("x", 0.5).add("inner", JsonObject{});
    CHECK(object.text() == "{\"n\":3,\"x\":0.5,\"inner\":{}}");
}
