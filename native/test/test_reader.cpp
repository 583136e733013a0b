// Small maps read in batches; inputs that are not maps; repeated objects; positions by id.
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "map_file.hpp"
#include "read/duplicates.hpp"
#include "read/inline_positions.hpp"
#include "read/locations.hpp"
#include "read/relations.hpp"

using namespace geojepa;

namespace {

ArrayMemory memory(std::uint64_t bytes = std::uint64_t{1} << 30U) {
    return {std::filesystem::temp_directory_path().string(), bytes};
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
    const FirstBatch nodes = read_first_batch(map.path, schema::OsmType::node);
    REQUIRE(nodes.rows.size() == 2);
    CHECK(nodes.rows[0].position == Position{-775000000, 402500000});
    CHECK(nodes.rows[0].version == 3);
    CHECK(nodes.rows[0].located);
    CHECK_FALSE(nodes.rows[1].located);
    CHECK(nodes.rows[1].sequence == 1);
    const FirstBatch ways = read_first_batch(map.path, schema::OsmType::way);
    REQUIRE(ways.rows.size() == 1);
    CHECK(ways.refs == std::vector<std::int64_t>{1, 2});
    const FirstBatch relations = read_first_batch(map.path, schema::OsmType::relation);
    REQUIRE(relations.rows.size() == 1);
    CHECK(relations.rows[0].deleted);
    CHECK(relations.members.size() == 2);
    CHECK(relations.members[0].type == schema::OsmType::way);
}

TEST_CASE("files that are not extracts are named by what they look like") {
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
    Reader reader{{map.path}, {.nodes = true, .ways = true, .relations = true}};
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

TEST_CASE("a copy with tags stays, and takes its position and references from a bare copy") {
    const MapFile map{".osm",
                      "<osm version='0.6'><node id='1'><tag k='a' v='b'/></node><node id='1' lat='4' lon='3'/>"
                      "<node id='2' lat='4' lon='3'><tag k='a' v='b'/></node><node id='2' lat='4' lon='3'/>"
                      "<node id='3' version='1'><tag k='a' v='b'/></node><node id='3' lat='4' lon='3'/>"
                      "<node id='4' visible='false'/><node id='4' lat='4' lon='3'/>"
                      "<way id='5'><nd ref='1'/></way><way id='5'><tag k='a' v='b'/></way>"
                      "<way id='6'><nd ref='1'/><tag k='a' v='b'/></way><way id='6'><nd ref='1'/></way></osm>"};
    ArrayMemory arrays = memory();
    Superseded superseded{arrays};
    find_superseded({map.path}, arrays, superseded);
    const auto to_vector = [](const auto& array) { return std::vector(array.begin(), array.end()); };
    CHECK(to_vector(superseded.nodes) == std::vector<std::uint64_t>{1, 3, 5, 7});
    LocationIndex::Cursor cursor{superseded.positions};
    CHECK(superseded.positions.size() == 1);  // node 3: another version; node 4: deleted
    CHECK(cursor.find(1) == Position{30000000, 40000000});
    CHECK(to_vector(superseded.ways) == std::vector<std::uint64_t>{0, 3});
    CHECK(to_vector(superseded.bare_ways) == std::vector<std::int64_t>{5});
}

TEST_CASE("a relation has the tags of one copy and the members of another, and none where it is deleted") {
    const MapFile map{".osm",
                      "<osm version='0.6'><relation id='1'><tag k='type' v='route'/></relation>"
                      "<relation id='1'><member type='way' ref='7' role='x'/></relation>"
                      "<relation id='2' version='2' visible='false'/>"
                      "<relation id='2' version='1'><member type='way' ref='8' role=''/></relation></osm>"};
    ArrayMemory arrays = memory();
    RelationTable relations{arrays};
    relations.add(read_first_batch(map.path, schema::OsmType::relation));
    relations.finish();
    REQUIRE(relations.size() == 1);
    CHECK(relations.at(0).tags.size() == 1);
    REQUIRE(relations.at(0).members.size() == 1);
    CHECK(relations.at(0).members[0].ref == 7);
    CHECK(relations.superseded() == 2);
    CHECK(relations.deleted() == 1);
}

TEST_CASE("positions on ways are found by node, and by way where references have no ids") {
    ArrayMemory arrays = memory();
    InlinePositions positions{arrays};
    const std::vector<std::int64_t> refs{5, 6};
    const std::vector<std::int64_t> none{0, 0};
    const std::vector<Position> places{{1, 2}, nowhere};
    positions.add_way(1, refs, places);
    positions.add_way(2, none, places);
    positions.add_shape(2, std::vector<Position>{{1, 2}, {3, 4}});  // complete, so it is preferred
    positions.add_shape(3, std::vector<Position>{nowhere});
    positions.finish();
    LocationIndex::Cursor cursor{positions.nodes()};
    CHECK(cursor.find(5) == Position{1, 2});
    CHECK_FALSE(cursor.find(6));
    CHECK(positions.find(1) == nullptr);
    REQUIRE(positions.find(2) != nullptr);
    CHECK(positions.positions(*positions.find(2)).size() == 2);
    CHECK(positions.find(3) == nullptr);
}

TEST_CASE("of several positions of one id the same one stays, whatever their order") {
    for (const bool reverse : {false, true}) {
        ArrayMemory arrays = memory();
        LocationIndex index{arrays};
        index.add(7, reverse ? Position{2, 1} : Position{1, 9});
        index.add(7, reverse ? Position{1, 9} : Position{2, 1});
        index.finish();
        CHECK(index.size() == 1);
        CHECK(LocationIndex::Cursor{index}.find(7) == Position{1, 9});
    }
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
            // From both ends, so that they are not sorted. Ids below 0 belong to objects that no server has seen.
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

TEST_CASE("blobs of other packings are refused with the command that helps, and not as damage") {
    // BlobHeader "OSMHeader", then a Blob of 4 bytes that says lz4 (field 6) or zstd (field 7).
    const auto blob_of = [](char tag) {
        return std::string{"\0\0\0\x0d\x0a\x09OSMHeader\x18\x06", 17} + "\x10\x01" + tag + std::string{"\x02xx", 3};
    };
    const auto refused = [](const std::string& bytes) {
        const MapFile map{"'s.osm.pbf", bytes};
        return error_of(map.path);
    };
    const auto [lz4, hint] = refused(blob_of('\x32'));
    CHECK(lz4.find("lz4 blobs not supported") != std::string::npos);
    REQUIRE(hint.command.size() == 5);
    CHECK(hint.command[1] == "cat");
    CHECK(hint.command[2].ends_with("'s.osm.pbf"));
    const auto [zstd, none] = refused(blob_of('\x3a'));
    CHECK(zstd.find("zstd blobs not supported") != std::string::npos);
    CHECK(zstd.find("damaged") == std::string::npos);
    CHECK(none.command.empty());
}

TEST_CASE("a licence before the first element does not hide that a file is OpenStreetMap's") {
    const MapFile map{".xml",
                      "<?xml version=\"1.0\"?><!--" + std::string(2000, ' ') + "\n--><osm version=\"0.6\"></osm>"};
    CHECK(message_of(map.path) == "no error");
}

TEST_CASE("a zero byte within a tag does not lead past the object") {
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
    const FirstBatch elements = read_first_batch(map.path, schema::OsmType::node);
    REQUIRE(elements.tags.size() == 1);
    CHECK(elements.tags.front().key == "amenity");
    CHECK(elements.tags.front().value == "\x0e");
}
