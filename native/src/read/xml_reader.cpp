// One function for each kind of element. An object is collected first and built at its end tag, so its tags and
// references may come in any order.
#include "read/xml_reader.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <osmium/osm/types.hpp>
#include <utility>

#include "read/xml_number.hpp"

namespace geojepa {
namespace {

constexpr std::size_t first_buffer_bytes = std::size_t{1} << 20U;
constexpr std::size_t batch_bytes = std::size_t{512} << 10U;
constexpr std::uint64_t most_object_bytes = std::uint64_t{64} << 20U;
constexpr std::size_t most_tags = 10'000;
constexpr std::size_t most_text = osmium::max_osm_string_length;
constexpr std::size_t most_remarks = 10;
constexpr std::size_t most_remark_bytes = 1000;

/// The command that applies an OsmChange file to an extract.
Hint apply_changes(const std::string& path) {
    return {.command = {"osmium", "apply-changes", "EXTRACT.osm.pbf", path, "-o", "changed.osm.pbf"}};
}

osmium::memory::Buffer new_buffer(std::size_t bytes) {
    return osmium::memory::Buffer{bytes, osmium::memory::Buffer::auto_grow::yes};
}

template <typename Visit>
void for_each_attribute(const char* const* attributes, const Visit& visit) {
    for (; *attributes != nullptr; attributes += 2) {
        visit(std::string_view{attributes[0]}, attributes[1]);
    }
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
    return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                      [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

osmium::item_type object_type(std::string_view name) {
    if (name == "node") {
        return osmium::item_type::node;
    }
    if (name == "way") {
        return osmium::item_type::way;
    }
    return name == "relation" ? osmium::item_type::relation : osmium::item_type::undefined;
}

const char* name_of(osmium::item_type type) {
    switch (type) {
        case osmium::item_type::node:
            return "node";
        case osmium::item_type::way:
            return "way";
        default:
            return "relation";
    }
}

std::string trimmed(const std::string& text) {
    constexpr const char* blanks = " \t\r\n";
    const std::size_t first = text.find_first_not_of(blanks);
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

}  // namespace

XmlReader::XmlReader(const std::string& path, InputFormat format, osmium::osm_entity_bits::type types)
    : path_(path),
      text_(path, format),
      parser_(*this),
      types_(types),
      buffer_(new_buffer(first_buffer_bytes)),
      member_buffer_(new_buffer(std::size_t{4} << 10U)) {}

void XmlReader::advance() {
    const std::string piece = text_.next();
    if (!begun_) {
        check_begins_xml(path_, piece);
        begun_ = true;
    }
    ended_ = piece.empty();
    parser_.parse(piece, ended_);
}

void XmlReader::read_root() {
    while (!root_read_ && !ended_) {
        advance();
    }
}

XmlReader::Batch XmlReader::next() {
    while (!ended_ && buffer_.committed() < batch_bytes) {
        advance();
    }
    if (buffer_.committed() == 0) {
        return {};
    }
    std::sort(centred_.ways.begin(), centred_.ways.end());
    std::sort(centred_.relations.begin(), centred_.relations.end());
    return {std::exchange(buffer_, new_buffer(first_buffer_bytes)), std::exchange(centred_, {})};
}

void XmlReader::start(const char* name, const char* const* attributes) {
    ++depth_;
    if (skipped_from_ != 0) {
        return;
    }
    switch (depth_) {
        case 1:
            start_root(name, attributes);
            break;
        case 2:
            start_top(name, attributes);
            break;
        case 3:
            start_part(name, attributes);
            break;
        default:
            if (depth_ == 4 && in_member_ && std::strcmp(name, "nd") == 0) {
                add_node_ref(attributes);
            } else {
                skip();
            }
    }
}

void XmlReader::end() {
    if (skipped_from_ == depth_) {
        skipped_from_ = 0;
        if (std::exchange(in_remark_, false)) {
            notes_.remarks.back() = trimmed(notes_.remarks.back());
        }
    } else if (skipped_from_ == 0 && depth_ == 2) {
        finish_object();
    }
    in_member_ = in_member_ && depth_ > 3;
    --depth_;
}

void XmlReader::text(std::string_view piece) {
    if (in_remark_) {
        std::string& remark = notes_.remarks.back();
        remark.append(piece.substr(0, most_remark_bytes - std::min(most_remark_bytes, remark.size())));
    }
}

void XmlReader::start_root(std::string_view name, const char* const* attributes) {
    if (name == "osmChange") {
        throw ReadError("it is an OsmChange file (`<osmChange>`), not an extract", apply_changes(path_));
    }
    if (name != "osm") {
        throw ReadError("it is XML, but its root is `<" + std::string{name.substr(0, 100)} + ">` and not `<osm>`",
                        {.advice = extract_formats});
    }
    for_each_attribute(attributes, [&](std::string_view key, const char* value) {
        if (key == "version" && std::strcmp(value, "0.6") != 0) {
            throw ReadError("it is OSM XML of version " + std::string{value}.substr(0, 20) +
                            ", this reads version 0.6");
        }
        if (key == "generator") {
            notes_.overpass = std::string_view{value}.starts_with("Overpass");
        }
    });
    root_read_ = true;
}

void XmlReader::start_top(std::string_view name, const char* const* attributes) {
    if (const osmium::item_type type = object_type(name); type != osmium::item_type::undefined) {
        if ((types_ & osmium::osm_entity_bits::from_item_type(type)) != osmium::osm_entity_bits::nothing) {
            start_object(type, attributes);
            return;
        }
    } else if (name == "remark" && notes_.remarks.size() < most_remarks) {
        notes_.remarks.emplace_back();
        in_remark_ = true;
    } else if (name == "changeset") {
        ++notes_.changesets;
    } else if (name == "area") {
        ++notes_.overpass_areas;
    } else if (name == "create" || name == "modify" || name == "delete" || name == "action") {
        throw ReadError("line " + std::to_string(parser_.line()) + ": `<" + std::string{name} +
                            ">` belongs to an OsmChange file, not to an extract",
                        apply_changes(path_));
    }
    skip();
}

void XmlReader::start_object(osmium::item_type type, const char* const* attributes) {
    object_.clear();
    object_.type = type;
    object_.first_byte = parser_.position();
    bool has_id = false;
    for_each_attribute(attributes, [&](std::string_view key, const char* value) {
        if (key == "id") {
            object_.id = read_whole("id", value);
            has_id = true;
        } else if (key == "lat") {
            object_.location.set_y(read_degrees("lat", value));
        } else if (key == "lon") {
            object_.location.set_x(read_degrees("lon", value));
        } else if (key == "version") {
            // -1 and an empty text stand for an object that no server has seen.
            const std::int64_t version = *value == '\0' ? 0 : read_whole("version", value);
            if (version < -1 || version > std::numeric_limits<std::uint32_t>::max()) {
                fail(std::string{"version=\""} + value + "\" is out of range");
            }
            object_.version = static_cast<std::uint32_t>(std::max<std::int64_t>(version, 0));
        } else if (key == "visible") {
            object_.deleted = object_.deleted || equals_ignoring_case(value, "false");
        } else if (key == "action") {
            object_.deleted = object_.deleted || equals_ignoring_case(value, "delete");
        }
    });
    if (!has_id) {
        throw ReadError("line " + std::to_string(parser_.line()) + ": a " + name_of(type) + " has no id");
    }
}

void XmlReader::start_part(std::string_view name, const char* const* attributes) {
    check_size();
    if (name == "nd" && object_.type == osmium::item_type::way) {
        add_node_ref(attributes);
    } else if (name == "tag") {
        add_tag(attributes);
    } else if (name == "member" && object_.type == osmium::item_type::relation) {
        start_member(attributes);
        in_member_ = true;  // its positions may follow
    } else {
        object_.centred = object_.centred || name == "center";
        skip();
    }
}

void XmlReader::add_tag(const char* const* attributes) {
    const char* key = "";
    const char* value = "";
    for_each_attribute(attributes, [&](std::string_view name, const char* text) {
        if (name == "k") {
            key = text;
        } else if (name == "v") {
            value = text;
        }
    });
    if (std::strlen(key) > most_text || std::strlen(value) > most_text) {
        fail("the tag `" + std::string{key}.substr(0, 40) + "` has a key or value of more than " +
             std::to_string(most_text) + " bytes");
    }
    if (object_.tags.size() >= most_tags) {
        fail("it has more than " + std::to_string(most_tags) + " tags");
    }
    const std::size_t stored_key = object_.store(key);
    object_.tags.push_back({stored_key, object_.store(value)});
}

void XmlReader::add_node_ref(const char* const* attributes) {
    osmium::NodeRef ref;
    for_each_attribute(attributes, [&](std::string_view name, const char* text) {
        if (name == "ref") {
            ref.set_ref(read_whole("ref", text));
        } else if (name == "lat") {
            ref.location().set_y(read_degrees("lat", text));
        } else if (name == "lon") {
            ref.location().set_x(read_degrees("lon", text));
        }
    });
    if (object_.type == osmium::item_type::way) {
        object_.refs.push_back(ref);
    } else {
        check_size();
        object_.member_positions.push_back(ref.location());
        object_.members.back().last_position = object_.member_positions.size();
    }
}

void XmlReader::start_member(const char* const* attributes) {
    XmlObject::Member member{osmium::item_type::undefined, 0, 0, 0, 0};
    osmium::Location location;
    const char* role = "";
    bool has_ref = false;
    for_each_attribute(attributes, [&](std::string_view name, const char* text) {
        if (name == "type") {
            member.type = object_type(text);
        } else if (name == "ref") {
            member.ref = read_whole("ref", text);
            has_ref = true;
        } else if (name == "role") {
            role = text;
        } else if (name == "lat") {
            location.set_y(read_degrees("lat", text));
        } else if (name == "lon") {
            location.set_x(read_degrees("lon", text));
        }
    });
    if (member.type == osmium::item_type::undefined || !has_ref) {
        fail("a member has no ref, or its type is not node, way or relation");
    }
    if (std::strlen(role) > most_text) {
        fail("a member has a role of more than " + std::to_string(most_text) + " bytes");
    }
    member.role = object_.store(role);
    member.first_position = object_.member_positions.size();
    if (member.type == osmium::item_type::node && location.is_defined()) {
        object_.member_positions.push_back(location);
    }
    member.last_position = object_.member_positions.size();
    object_.members.push_back(member);
}

void XmlReader::check_size() const {
    if (parser_.position() - object_.first_byte > most_object_bytes) {
        fail("it takes more than " + std::to_string(most_object_bytes >> 20U) + " MiB of XML");
    }
}

void XmlReader::finish_object() {
    append(object_, buffer_, member_buffer_);
    if (object_.centred && object_.type != osmium::item_type::node) {
        (object_.type == osmium::item_type::way ? centred_.ways : centred_.relations).push_back(object_.id);
    }
}

std::int64_t XmlReader::read_whole(const char* name, const char* value) const {
    const std::optional<std::int64_t> number = parse_whole(value);
    if (!number) {
        fail(std::string{name} + "=\"" + std::string{value}.substr(0, 40) + "\" is not a whole number of 64 bits");
    }
    return *number;
}

std::int32_t XmlReader::read_degrees(const char* name, const char* value) const {
    const std::optional<std::int32_t> degrees = parse_degrees(value);
    if (!degrees) {
        fail(std::string{name} + "=\"" + std::string{value}.substr(0, 40) + "\" is not a number of degrees");
    }
    return *degrees;
}

void XmlReader::fail(const std::string& reason) const {
    throw ReadError("line " + std::to_string(parser_.line()) + ", " + name_of(object_.type) + " " +
                    std::to_string(object_.id) + ": " + reason);
}

}  // namespace geojepa
