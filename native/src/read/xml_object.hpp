// A node, way or relation of OSM XML, collected between its start tag and its end tag.
#pragma once

#include <cstdint>
#include <osmium/memory/buffer.hpp>
#include <osmium/osm/item_type.hpp>
#include <osmium/osm/location.hpp>
#include <osmium/osm/node_ref.hpp>
#include <string>
#include <vector>

namespace geojepa {

/// Texts are offsets into `text`, each ended by a zero byte.
struct XmlObject {
    struct Tag {
        std::size_t key, value;
    };
    struct Member {
        osmium::item_type type;
        std::int64_t ref;
        std::size_t role;
        std::size_t first_position, last_position;
    };
    osmium::item_type type = osmium::item_type::undefined;
    std::int64_t id = 0;
    std::uint32_t version = 0;
    bool deleted = false;
    bool centred = false;
    osmium::Location location;
    std::uint64_t first_byte = 0;
    std::vector<Tag> tags;
    std::vector<osmium::NodeRef> refs;
    std::vector<Member> members;
    std::vector<osmium::Location> member_positions;
    std::string text;

    void clear();
    std::size_t store(const char* value);
};

/// Appends the object to `buffer` and commits it. `scratch` holds the members' positions for a while.
void append(const XmlObject& object, osmium::memory::Buffer& buffer, osmium::memory::Buffer& scratch);

}  // namespace geojepa
