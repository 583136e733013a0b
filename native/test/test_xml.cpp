// OSM XML: numbers, the forms of servers and editors, and what is refused.
#include <bzlib.h>
#include <zlib.h>

#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "map_file.hpp"
#include "read/input_format.hpp"
#include "read/packed_text.hpp"
#include "read/xml_number.hpp"

using namespace geojepa;

namespace {

std::string osm(const std::string& body) {
    return "<osm version=\"0.6\">" + body + "</osm>";
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

std::string gzipped(std::string_view text) {
    std::string packed(::compressBound(text.size()) + 64, '\0');
    z_stream stream{};
    REQUIRE(::deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    REQUIRE(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
    packed.resize(stream.total_out);
    (void)::deflateEnd(&stream);
    return packed;
}

std::string bzipped(std::string_view text) {
    std::string packed(text.size() + text.size() / 100 + 600, '\0');
    auto size = static_cast<unsigned>(packed.size());
    REQUIRE(::BZ2_bzBuffToBuffCompress(packed.data(), &size, const_cast<char*>(text.data()),
                                       static_cast<unsigned>(text.size()), 9, 0, 0) == BZ_OK);
    packed.resize(size);
    return packed;
}

std::string unpacked(std::string_view suffix, std::string_view bytes, InputFormat format) {
    const MapFile file{suffix, bytes};
    PackedText text{file.path, format};
    std::string all;
    for (std::string piece = text.next(); !piece.empty(); piece = text.next()) {
        all += piece;
    }
    return all;
}

}  // namespace

TEST_CASE("degrees are read in every notation and rounded half away from zero") {
    CHECK(parse_degrees("40.7946823") == 407946823);
    CHECK(parse_degrees("-77.8568115") == -778568115);
    CHECK(parse_degrees("+1") == 10000000);
    CHECK(parse_degrees(".5") == 5000000);
    CHECK(parse_degrees("5.") == 50000000);
    CHECK(parse_degrees("1.00000004") == 10000000);
    CHECK(parse_degrees("1.00000005") == 10000001);
    CHECK(parse_degrees("-1.00000005") == -10000001);
    CHECK(parse_degrees("1.000000049999999999999999999") == 10000000);
    CHECK(parse_degrees("4.07946823e1") == 407946823);
    CHECK(parse_degrees("407946823E-7") == 407946823);
    CHECK(parse_degrees("0.000000000000000000000000000001e30") == 10000000);
    CHECK(parse_degrees("1e-99999999999") == 0);
    CHECK(parse_degrees("0e99999999999") == 0);
    CHECK(parse_degrees("214.7483646") == 2147483646);
}

TEST_CASE("what is not a number of degrees is not read") {
    for (const char* text : {"",
                             "-",
                             "+",
                             ".",
                             "e1",
                             "1e",
                             "1e+",
                             "1 ",
                             " 1",
                             "1,5",
                             "nan",
                             "inf",
                             "0x10",
                             "1.2.3",
                             "--1",
                             "214.7483647",
                             "-214.7483647",
                             "40e76",
                             "1e99999999999",
                             "99999999999999999999"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_degrees(text));
    }
}

TEST_CASE("whole numbers have 64 bits") {
    CHECK(parse_whole("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
    CHECK(parse_whole("-9223372036854775808") == std::numeric_limits<std::int64_t>::min());
    for (const char* text : {"", "-", "9223372036854775808", "1.0", "1 ", "+1", "0x1", "1e3"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_whole(text));
    }
}

TEST_CASE("references and members come with the positions that stand on them") {
    const MapFile map{".osm", osm("<way id='1'><nd ref='5' lat='1' lon='2'/><nd ref='6'/><nd lat='3' lon='200'/></way>"
                                  "<relation id='2'><member type='node' ref='7' lat='4' lon='5' role='stop'/>"
                                  "<member type='way' ref='8' role=''><nd lat='6' lon='7'/><nd/></member>"
                                  "<member type='way' ref='9' role='x'/></relation>")};
    const FirstBatch ways = read_first_batch(map.path, schema::OsmType::way);
    CHECK(ways.refs == std::vector<std::int64_t>{5, 6, 0});
    CHECK(ways.ref_positions == std::vector<Position>{{20000000, 10000000}, nowhere, nowhere});
    const FirstBatch relations = read_first_batch(map.path, schema::OsmType::relation);
    REQUIRE(relations.members.size() == 3);
    CHECK(relations.members[0].role == "stop");
    REQUIRE(relations.member_shapes.size() == 2);
    CHECK(relations.member_shapes[1].ref == 8);
    CHECK(relations.member_positions == std::vector<Position>{{50000000, 40000000}, {70000000, 60000000}, nowhere});
}

TEST_CASE("ways without positions have none next to their references") {
    const MapFile map{".osm", osm("<way id='1'><nd ref='5'/></way>")};
    CHECK(read_first_batch(map.path, schema::OsmType::way).ref_positions.empty());
}

TEST_CASE("an object with a centre is marked") {
    const MapFile map{".osm", osm("<way id='9'/><way id='3'><center lat='1' lon='2'/></way>")};
    const FirstBatch ways = read_first_batch(map.path, schema::OsmType::way);
    REQUIRE(ways.rows.size() == 2);
    CHECK_FALSE(ways.rows[0].centred);
    CHECK(ways.rows[1].centred);
}

TEST_CASE("a tag that stands twice is there once, whatever their number") {
    for (const int keys : {3, 40}) {
        std::string tags;
        for (int i = 0; i < 2 * keys; ++i) {
            tags += "<tag k='k" + std::to_string(i % keys) + "' v='" + (i == 1 ? "other" : "same") + "'/>";
        }
        const MapFile map{".osm", osm("<node id='1'>" + tags + "</node>")};
        const FirstBatch nodes = read_first_batch(map.path, schema::OsmType::node);
        CHECK(nodes.tags.size() == static_cast<std::size_t>(keys) + 1);  // `k1` has two values
        CHECK(nodes.tags.front().key == "k0");
    }
}

TEST_CASE("remarks, changesets and areas are findings, not elements") {
    const MapFile map{".osm",
                      "<osm version='0.6' generator='Overpass API 0.7'><node id='1'/><area id='2'><tag k='a' v='b'/>"
                      "</area><changeset id='3'/><remark> out of\n memory </remark></osm>"};
    Reader reader{{map.path, map.path}, {.relations = true}};
    Batch batch{nullptr};
    CHECK_FALSE(reader.next(batch));
    CHECK(reader.notes().remarks == std::vector<std::string>{"out of\n memory", "out of\n memory"});
    CHECK(reader.notes().changesets == 2);
    CHECK(reader.notes().overpass_areas == 2);
    CHECK(reader.notes().overpass);
}

TEST_CASE("of a batch, nodes, ways and relations keep their order over several batches") {
    std::string body;
    for (int i = 1; i <= 40000; ++i) {
        body += "<node id='" + std::to_string(i) + "' lat='1' lon='2'/>";
    }
    const MapFile map{".osm", osm(body)};
    Reader reader{{map.path}, {.nodes = true}};
    Batch batch{nullptr};
    std::int64_t id = 0;
    int batches = 0;
    bool ordered = true;
    for (; reader.next(batch); ++batches) {
        for (const Element& node : batch.unpack(schema::OsmType::node).rows) {
            ordered = ordered && node.id == ++id && node.sequence + 1 == static_cast<std::uint64_t>(id);
        }
    }
    CHECK(ordered);
    CHECK(id == 40000);
    CHECK(batches > 1);
}

TEST_CASE("only what ends too early, or does not unpack, may be damaged") {
    const std::string whole = osm("<node id='1' lat='1' lon='2'/>");
    const auto damaged = [](std::string_view suffix, const std::string& bytes) {
        const MapFile map{suffix, bytes};
        return contains(error_of(map.path).first, "cut short or damaged");
    };
    CHECK(damaged(".osm", whole.substr(0, 30)));
    CHECK(damaged(".osm.gz", gzipped(whole).substr(0, 40)));
    CHECK(damaged(".osm.bz2", bzipped(whole).substr(0, 40)));
    CHECK_FALSE(damaged(".osm", osm("<node id='x'/>")));
    CHECK_FALSE(damaged(".osm", osm("<node>")));
    CHECK_FALSE(damaged(".osm", "<gpx/>"));
    CHECK_FALSE(damaged(".osm", whole));
    CHECK_FALSE(damaged(".osm.gz", gzipped(whole)));
}

TEST_CASE("the message names the line and the object") {
    const MapFile map{".osm", osm("\n<node id='1'/>\n<way id='7' version='x'/>")};
    CHECK(contains(error_of(map.path).first, "line 3, way 7: version=\"x\" is not a whole number"));
}

TEST_CASE("an OsmChange file is refused with the command that applies it") {
    const MapFile map{".osc", "<osmChange version='0.6'></osmChange>"};
    const auto [message, hint] = error_of(map.path);
    CHECK(contains(message, "OsmChange file"));
    const std::vector<std::string> command{"osmium", "apply-changes",  "EXTRACT.osm.pbf", map.path,
                                           "-o",     "changed.osm.pbf"};
    CHECK(hint.command == command);
}

TEST_CASE("depth, entities and the size of a tag are bounded") {
    const auto refused = [](const std::string& text) {
        const MapFile map{".osm", text};
        return error_of(map.path).first;
    };
    std::string nested;
    for (int i = 0; i < 20; ++i) {
        nested += "<a>";
    }
    CHECK(contains(refused(osm(nested)), "nested more than 16 deep"));
    CHECK(contains(refused("<!DOCTYPE osm [<!ENTITY a 'b'>]>" + osm("")), "declares XML entities"));
    CHECK(contains(refused("<!DOCTYPE osm PUBLIC 'a' 'b'>" + osm("")), "declares XML entities"));
    CHECK(refused("<!DOCTYPE osm>" + osm("")).empty());
    const std::string value(std::size_t{2} << 20U, 'a');
    CHECK(contains(refused(osm("<node id='1' x='" + value + "'/>")), "longer than 1 MiB"));
    CHECK(contains(refused("<!--" + value + "-->" + osm("")), "longer than 1 MiB"));
    CHECK(refused(osm("<note>" + value + "</note>")).empty());
}

TEST_CASE("packed text is read over members and streams, and no further than the last") {
    const std::string one(100000, 'a');
    const std::string two = "<osm/>";
    for (const std::string& rest : {std::string{}, std::string{"\x1f"}, std::string(700, '\0')}) {
        CHECK(unpacked(".gz", gzipped(one) + gzipped(two) + rest, InputFormat::xml_gzip) == one + two);
        CHECK(unpacked(".bz2", bzipped(one) + bzipped("") + bzipped(two) + rest, InputFormat::xml_bzip2) == one + two);
    }
    CHECK_THROWS_AS(unpacked(".gz", gzipped(one).substr(0, 50), InputFormat::xml_gzip), DamageError);
    CHECK_THROWS_AS(unpacked(".bz2", bzipped(one).substr(0, 30), InputFormat::xml_bzip2), DamageError);
    std::string broken = gzipped(one);
    broken[broken.size() / 2] ^= 0x55;
    CHECK_THROWS_AS(unpacked(".gz", broken, InputFormat::xml_gzip), DamageError);
}

TEST_CASE("packed text that expands beyond every OSM file is refused") {
    const std::string zeros(std::size_t{70} << 20U, ' ');
    CHECK_THROWS_AS(unpacked(".gz", gzipped(zeros), InputFormat::xml_gzip), ReadError);
    CHECK(unpacked(".osm", zeros.substr(0, std::size_t{3} << 20U), InputFormat::xml).size() == std::size_t{3} << 20U);
}
