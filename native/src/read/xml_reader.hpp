// OSM XML as libosmium's buffers, in the forms that servers and editors write.
#pragma once

#include <cstdint>
#include <osmium/builder/osm_object_builder.hpp>
#include <osmium/memory/buffer.hpp>
#include <osmium/osm/entity_bits.hpp>
#include <osmium/osm/location.hpp>
#include <osmium/osm/node_ref.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "read/input_format.hpp"
#include "read/packed_text.hpp"
#include "read/reader.hpp"
#include "read/xml_parser.hpp"

namespace geojepa {

/// Reads `<osm>` documents: of the OSM API, osmium, JOSM (whose deleted objects are marked so) and Overpass.
///
/// libosmium's reader is not used for XML. It stops at a timestamp with a fraction, ignores `action="delete"` and
/// `<remark>`, refuses members with positions, and has no bound on the length of a value.
///
/// Positions on `<nd>` become locations of node references. A member's positions become a full member: a node, or a
/// way whose references have no ids. Metadata but the version is not read.
class XmlReader final : private XmlHandler {
public:
    struct Batch {
        osmium::memory::Buffer buffer;
        /// Ids of ways and relations that came with a centre.
        CentredIds centred;
    };

    /// Throws ReadError where the file cannot be opened.
    XmlReader(const std::string& path, InputFormat format, osmium::osm_entity_bits::type types);

    /// Reads up to the root element. Throws ReadError where it is not `<osm>`.
    void read_root();

    /// The next objects; an invalid buffer at the end. Throws as XmlParser does, and ReadError where an object cannot
    /// be read or is too large.
    Batch next();

    std::uint64_t offset() const noexcept { return text_.offset(); }
    const InputNotes& notes() const noexcept { return notes_; }

private:
    /// An object under construction. Texts are offsets into `text`, each ended by a zero byte.
    struct Object {
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

    void start(const char* name, const char* const* attributes) override;
    void end() override;
    void text(std::string_view piece) override;

    void start_root(std::string_view name, const char* const* attributes);
    void start_top(std::string_view name, const char* const* attributes);
    void start_part(std::string_view name, const char* const* attributes);
    void start_object(osmium::item_type type, const char* const* attributes);
    void start_member(const char* const* attributes);
    void add_tag(const char* const* attributes);
    void add_node_ref(const char* const* attributes);
    void check_size() const;
    void finish_object();
    void build_node();
    void build_way();
    void build_relation();
    /// The member's positions as an object, valid until the next call; null where it has none.
    const osmium::OSMObject* build_full_member(const Object::Member& member);
    void build_tags(osmium::builder::Builder& parent) const;

    /// Parses the next piece of the file.
    void advance();
    std::int64_t read_whole(const char* name, const char* value) const;
    std::int32_t read_degrees(const char* name, const char* value) const;
    [[noreturn]] void fail(const std::string& reason) const;

    void skip() { skipped_from_ = depth_; }

    std::string path_;
    PackedText text_;
    XmlParser parser_;
    osmium::osm_entity_bits::type types_;
    InputNotes notes_;
    Object object_;
    osmium::memory::Buffer buffer_;
    osmium::memory::Buffer member_buffer_;
    CentredIds centred_;
    int depth_ = 0;
    int skipped_from_ = 0;  // the depth of the element that is skipped with all within it; 0: none
    bool in_member_ = false;
    bool in_remark_ = false;
    bool begun_ = false;
    bool root_read_ = false;
    bool ended_ = false;
};

}  // namespace geojepa
