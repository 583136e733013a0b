// OSM XML as libosmium's buffers, in the forms that servers and editors write.
#pragma once

#include <cstdint>
#include <osmium/memory/buffer.hpp>
#include <osmium/osm/entity_bits.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "read/input_format.hpp"
#include "read/packed_text.hpp"
#include "read/reader.hpp"
#include "read/xml_object.hpp"
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
    XmlObject object_;
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
