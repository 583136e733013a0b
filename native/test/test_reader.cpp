// Small OPL maps read in batches; inputs that are no maps; repeated objects.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "read/duplicates.hpp"
#include "errors.hpp"
#include "read/locations.hpp"
#include "read/reader.hpp"

using namespace geojepa;

namespace {

struct MapFile {
    std::string path;
    MapFile(std::string_view suffix, std::string_view text)
        : path((std::filesystem::temp_directory_path() / ("geojepa-map-" + std::to_string(::getpid()))).string() +
               std::string{suffix}) {
        std::ofstream{path, std::ios::binary} << text;
    }
    MapFile(const MapFile&) = delete;
    MapFile& operator=(const MapFile&) = delete;
    ~MapFile() { std::filesystem::remove(path); }
};

ArrayMemory memory(std::uint64_t bytes = std::uint64_t{1} << 30U) {
    return {std::filesystem::temp_directory_path().string(), bytes};
}

Elements read_all(const std::string& path, schema::OsmType type) {
    Reader reader{{path}, {true, true, true}};
    Batch batch{nullptr};
    REQUIRE(reader.next(batch));
    Elements elements = batch.unpack(type);
    CHECK(elements.tags.size() < 10);
    return elements;
}

std::string message_of(const std::string& path) {
    try {
        check_input(path);
    } catch (const InputError& error) {
        return error.what();
    }
    return "no error";
}

}  // namespace

TEST_CASE("elements come with their ids, versions, references and positions") {
    const MapFile map{".opl",
                      "n1 v3 dV x-77.5 y40.25\n"
                      "n2 v1 dV x200 y95\n"
                      "w7 v2 dV Thighway=path,name=A Nn1,n2\n"
                      "r9 v1 dD Ttype=route Mw7@main,n1@\n"};
    const Elements nodes = read_all(map.path, schema::OsmType::node);
    REQUIRE(nodes.rows.size() == 2);
    CHECK(nodes.rows[0].position == Position{-775000000, 402500000});
    CHECK(nodes.rows[0].version == 3);
    CHECK(nodes.rows[0].located);
    CHECK_FALSE(nodes.rows[1].located);
    CHECK(nodes.rows[1].sequence == 1);
    const Elements ways = read_all(map.path, schema::OsmType::way);
    REQUIRE(ways.rows.size() == 1);
    CHECK(ways.refs == std::vector<std::int64_t>{1, 2});
    const Elements relations = read_all(map.path, schema::OsmType::relation);
    REQUIRE(relations.rows.size() == 1);
    CHECK(relations.rows[0].deleted);
    CHECK(relations.members.size() == 2);
    CHECK(relations.members[0].type == schema::OsmType::way);
}

TEST_CASE("files that are no extract are told by what they look like") {
    CHECK(message_of("/no/such/extract.osm.pbf").find("cannot open") != std::string::npos);
    const MapFile page{".pbf", "<!DOCTYPE html><html>"};
    CHECK(message_of(page.path).find("HTML page") != std::string::npos);
    const MapFile nothing{".osm", ""};
    CHECK(message_of(nothing.path).find("empty") != std::string::npos);
    const MapFile json{".osm.pbf", "  {\"type\": 1}"};
    CHECK(message_of(json.path).find("JSON") != std::string::npos);
    CHECK(message_of("/").find("directory") != std::string::npos);
}

TEST_CASE("damaged text is an input error") {
    const MapFile map{".opl", "n1 v1 dV x1 y1\nthis is no element\n"};
    Reader reader{{map.path}, {true, true, true}};
    Batch batch{nullptr};
    const auto read_to_the_end = [&] {
        while (reader.next(batch)) {
        }
    };
    CHECK_THROWS_AS(read_to_the_end(), InputError);
}

TEST_CASE("of a repeated object the newest version stays, of equal versions the last") {
    const MapFile map{".opl",
                      "n1 v2 dV x1 y1\n"
                      "n1 v1 dV x2 y2\n"
                      "n5 v1 dV x2 y2\n"
                      "w3 v1 dV Nn1\n"
                      "w3 v1 dV Nn5\n"};
    ArrayMemory arrays = memory();
    Superseded superseded{arrays};
    find_superseded({map.path}, arrays, superseded);
    REQUIRE(superseded.nodes.size() == 1);
    CHECK(superseded.nodes[0] == 1);
    REQUIRE(superseded.ways.size() == 1);
    CHECK(superseded.ways[0] == 0);
}

TEST_CASE("locations are found in any order, and absent ones are not") {
    ArrayMemory arrays = memory();
    LocationIndex index{arrays};
    for (std::int64_t id = 1000; id > 0; id -= 3) {
        index.add(id, {static_cast<std::int32_t>(id), -1});
    }
    index.finish();
    LocationIndex::Cursor cursor{index};
    for (const std::int64_t id : {1, 4, 7, 1000, 4, 520}) {
        REQUIRE(cursor.find(id));
        CHECK(cursor.find(id)->lon == id);
    }
    for (const std::int64_t id : {0, 2, 1001, -5, 999}) {
        CHECK_FALSE(cursor.find(id));
    }
    LocationIndex empty{arrays};
    empty.finish();
    CHECK_FALSE(LocationIndex::Cursor{empty}.find(1));
}

TEST_CASE("locations are the same in the sparse and the dense form, in memory and in a file") {
    for (const std::uint64_t bytes : {std::uint64_t{1} << 30U, std::uint64_t{1} << 20U}) {
        for (const std::int64_t step : {1, 2, 3, 7}) {
            ArrayMemory arrays = memory(bytes);
            LocationIndex index{arrays};
            constexpr std::int64_t count = 200000;
            // From both ends, so that they are not sorted; ids below 0 are those of files that no server has seen.
            for (std::int64_t i = 0; i < count; ++i) {
                const std::int64_t id = (i % 2 == 0 ? i : count - i) * step - 1000;
                index.add(id, {static_cast<std::int32_t>(id), 7});
            }
            index.finish();
            CHECK(index.size() == count);
            CHECK(index.is_dense() == (step <= 2));
            LocationIndex::Cursor cursor{index};
            std::int64_t wrong = 0;
            for (std::int64_t id = -1100; id < count * step - 900; ++id) {
                const bool there = id >= -1000 && id < (count * step) - 1000 && (id + 1000) % step == 0;
                const std::optional<Position> found = cursor.find(id);
                wrong += found.has_value() != there || (there && found->lon != id) ? 1 : 0;
            }
            CHECK(wrong == 0);
        }
    }
}

TEST_CASE("blocks that libosmium cannot unpack are told as such, with the command that helps, and not as damage") {
    // BlobHeader "OSMHeader", then a Blob of 4 bytes that says lz4 (field 6) or zstd (field 7).
    const auto blob_of = [](char tag) {
        return std::string{"\0\0\0\x0d\x0a\x09OSMHeader\x18\x06", 17} + "\x10\x01" + tag + std::string{"\x02xx", 3};
    };
    const auto told = [](const std::string& bytes) {
        const MapFile map{"'s.osm.pbf", bytes};
        try {
            Reader reader{{map.path}, {true, true, true}};
            Batch batch{nullptr};
            (void)reader.next(batch);
        } catch (const InputError& error) {
            return std::pair{std::string{error.what()}, error.hint()};
        }
        return std::pair<std::string, std::string>{};
    };
    const auto [lz4, command] = told(blob_of('\x32'));
    CHECK(lz4.find("lz4 blobs not supported") != std::string::npos);
    CHECK(command.starts_with("osmium cat '"));
    CHECK(command.find("'\\''s.osm.pbf' -o ") != std::string::npos);
    const auto [zstd, none] = told(blob_of('\x3a'));
    CHECK(zstd.find("zstd blobs not supported") != std::string::npos);
    CHECK(zstd.find("damaged") == std::string::npos);
    CHECK(none.empty());
}

TEST_CASE("a licence before the first element does not hide that a file is OpenStreetMap's") {
    const MapFile map{".xml",
                      "<?xml version=\"1.0\"?><!--" + std::string(2000, ' ') + "\n--><osm version=\"0.6\"></osm>"};
    CHECK(message_of(map.path) == "no error");
}

TEST_CASE("a zero byte within a tag does not lead beyond the object") {
    // found by fuzzing: of node 1's `amenity` the value is "\x0e", a zero byte and "nch"
    const MapFile map{".osm.pbf", std::string_view{"\x00\x00\x00\x0d\x0a\x09\x4f\x53\x4d\x48\x65\x61\x64\x65\x72\x18"
                                                   "\x1c\x0a\x1a\x22\x0e\x4f\x73\x6d\x53\x63\x68\x65"
                                                   "\x6d\x61\x2d\x56\x30\x2e\x36\x82\x01\x07\x67\x65\x6f\x6a\x65\x70"
                                                   "\x61\x00\x00\x00\x0b\x0a\x07\x4f\x53\x4d\x44\x61"
                                                   "\x74\x61\x18\x74\x0a\x72\x0a\x14\x0a\x00\x0a\x07\x61\x6d\x65\x6e"
                                                   "\x69\x74\x79\x0a\x05\x0e\x00\x6e\x63\x68\x0a\x00"
                                                   "\x12\x5a\x0a\x20\x08\x02\x12\x01\x01\x1a\x01\x02\x22\x0a\x08\x01"
                                                   "\x10\x00\x18\x00\x20\x00\x28\x03\x40\x80\xee\xdb"
                                                   "\x84\x03\x48\xff\xe2\xf4\xe6\x05\x0a\x1a\x08\x04\x20\x0a\x08\x02"
                                                   "\x10\x40\x18\x00\x20\x00\x28\x03\x40\xc0\x88\xe8"
                                                   "\x84\x03\x48\xbf\xfd\x80\xe7\x05\x0a\x1a\x08\x06\x22\x0a\x08\x01"
                                                   "\x10\x00\x18\x00\x20\x00\x28\x03\x40\x80\xa3\xf4"
                                                   "\x84\x03\x48\xff\xe2\xf4\xe6\x05\x00\x00\x20\x00\x00\x00\x00\x00"
                                                   "\x00\x00\x1a\x00\x28\x03\x40\x80\xa3\xf4\x84\x03"
                                                   "\x48\xff\xe2\xf4\xe6\x05\x00\x00\x00\x0b\x0a\x07\x4f\x53\x4d\x44"
                                                   "\x61\x74\x61\x18\x35\x0a\x33\x0a\x13\x1d\x08\x05"
                                                   "\x12\x01\x01\x1a\x01\x02\x22\x0a\x08\x01\x10\x00\x18\x00\x20\x00"
                                                   "\xc1\x35\x0a\x00\x70\x60\x00\x00\x52\x01\x01",
                                                   251}};
    const Elements elements = read_all(map.path, schema::OsmType::node);
    REQUIRE(elements.tags.size() == 1);
    CHECK(elements.tags.front().key == "amenity");
    CHECK(elements.tags.front().value == "\x0e");
}
