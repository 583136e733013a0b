// Opens inputs by what they hold, not by their names, and turns libosmium's objects into plain records.
#include "read/reader.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <osmium/io/any_compression.hpp>
#include <osmium/io/file.hpp>
#include <osmium/io/opl_input.hpp>
#include <osmium/io/pbf_input.hpp>
#include <osmium/io/reader.hpp>
#include <osmium/io/xml_input.hpp>
#include <osmium/memory/buffer.hpp>
#include <osmium/osm.hpp>
#include <osmium/version.hpp>
#include <string_view>
#include <utility>

#include "errors.hpp"
#include "clip/tile.hpp"

namespace geojepa {
namespace {

constexpr std::string_view formats_hint = "an extract is .osm.pbf, .osm, .osm.gz or .osm.bz2";

std::string first_bytes(const std::string& path) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
        throw InputError("`" + path + "` is a directory, not an extract", std::string{formats_hint});
    }
    std::ifstream file{path, std::ios::binary};
    if (!file) {
        throw InputError("cannot open `" + path + "`: " + std::strerror(errno));
    }
    std::array<char, 4096> bytes{};  // comments may come before the first element
    file.read(bytes.data(), bytes.size());
    return {bytes.data(), static_cast<std::size_t>(file.gcount())};
}

std::string lower(std::string_view text) {
    std::string result{text};
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
    return result;
}

/// A word as a shell reads it back.
std::string shell_quoted(const std::string& word) {
    std::string quoted = "'";
    for (const char c : word) {
        quoted += c == '\'' ? std::string{"'\\''"} : std::string{c};
    }
    return quoted + "'";
}

/// What bytes that are no extract are, in words.
std::string looks_like(std::string_view bytes) {
    const std::string text = lower(bytes);
    if (bytes.empty()) {
        return "it is empty";
    }
    if (text.find("<!doctype html") != std::string::npos || text.find("<html") != std::string::npos) {
        return "it looks like an HTML page";
    }
    if (bytes.starts_with("PK\x03\x04")) {
        return "it looks like a ZIP archive";
    }
    if (bytes.starts_with("SQLite format 3")) {
        return "it looks like an SQLite or GeoPackage file";
    }
    if (bytes.starts_with("\x89HDF")) {
        return "it looks like an HDF5 file";
    }
    if (text.find_first_not_of(" \t\r\n") != std::string::npos && text[text.find_first_not_of(" \t\r\n")] == '{') {
        return "it looks like JSON";
    }
    if (bytes.starts_with("<?xml") || bytes.starts_with("<")) {
        return "it looks like XML, but not like OpenStreetMap's";
    }
    return "it looks like something else";
}

/// libosmium's name of the format that the bytes have.
std::optional<std::string> format_of(const std::string& path, std::string_view bytes) {
    if (path.ends_with(".opl")) {
        return "opl";
    }
    // Four bytes of length, then a BlobHeader whose first field is the string "OSMHeader".
    if (bytes.size() > 15 && bytes.substr(4, 11) == "\x0a\x09OSMHeader") {
        return "pbf";
    }
    if (bytes.starts_with("\x1f\x8b")) {
        return "osm.gz";
    }
    if (bytes.starts_with("BZh")) {
        return "osm.bz2";
    }
    if (bytes.find("<osm") != std::string_view::npos) {
        return "osm";
    }
    return std::nullopt;
}

std::string required_format(const std::string& path) {
    const std::string bytes = first_bytes(path);
    const std::optional<std::string> format = format_of(path, bytes);
    if (!format) {
        throw InputError("`" + path + "` is no OpenStreetMap extract: " + looks_like(bytes), std::string{formats_hint});
    }
    return *format;
}

osmium::osm_entity_bits::type bits_of(ElementTypes types) {
    using namespace osmium::osm_entity_bits;
    return (types.nodes ? node : nothing) | (types.ways ? way : nothing) | (types.relations ? relation : nothing);
}

schema::OsmType type_of(osmium::item_type type) {
    switch (type) {
        case osmium::item_type::node:
            return schema::OsmType::node;
        case osmium::item_type::way:
            return schema::OsmType::way;
        default:
            return schema::OsmType::relation;
    }
}

/// The tags of an object. Not by libosmium's iterator: it looks for the ends of texts, and where a damaged one holds a
/// zero byte, it ends beyond the object. A key whose value is missing for that is left out.
void unpack_tags(const osmium::OSMObject& object, Elements& out) {
    const osmium::TagList& list = object.tags();
    std::string_view left{reinterpret_cast<const char*>(list.data()), list.byte_size()};
    left.remove_prefix(std::min(left.size(), sizeof(osmium::TagList)));
    while (true) {
        const std::size_t key = left.find('\0');
        const std::size_t value = key == std::string_view::npos ? key : left.find('\0', key + 1);
        if (value == std::string_view::npos) {
            return;
        }
        out.tags.push_back({left.substr(0, key), left.substr(key + 1, value - key - 1)});
        left.remove_prefix(value + 1);
    }
}

Element unpack_object(const osmium::OSMObject& object, Elements& out) {
    Element element{};
    element.id = object.id();
    element.version = object.version();
    element.deleted = object.deleted();
    element.first_tag = out.tags.size();
    unpack_tags(object, out);
    element.last_tag = out.tags.size();
    return element;
}

void unpack_into(const osmium::Node& node, Elements& out, std::uint64_t sequence) {
    Element element = unpack_object(node, out);
    element.sequence = sequence;
    element.located = node.location().valid();
    element.position = {node.location().x(), node.location().y()};
    out.rows.push_back(element);
}

void unpack_into(const osmium::Way& way, Elements& out, std::uint64_t sequence) {
    Element element = unpack_object(way, out);
    element.sequence = sequence;
    element.first_ref = out.refs.size();
    for (const osmium::NodeRef& node : way.nodes()) {
        out.refs.push_back(node.ref());
    }
    element.last_ref = out.refs.size();
    out.rows.push_back(element);
}

void unpack_into(const osmium::Relation& relation, Elements& out, std::uint64_t sequence) {
    Element element = unpack_object(relation, out);
    element.sequence = sequence;
    element.first_ref = out.members.size();
    for (const osmium::RelationMember& member : relation.members()) {
        out.members.push_back({type_of(member.type()), member.ref(), member.role()});
    }
    element.last_ref = out.members.size();
    out.rows.push_back(element);
}

struct TypeCounts {
    std::uint64_t nodes = 0;
    std::uint64_t ways = 0;
    std::uint64_t relations = 0;
};

TypeCounts count(const osmium::memory::Buffer& buffer) {
    TypeCounts counts;
    for (const osmium::OSMEntity& entity : buffer.select<osmium::OSMEntity>()) {
        counts.nodes += entity.type() == osmium::item_type::node ? 1 : 0;
        counts.ways += entity.type() == osmium::item_type::way ? 1 : 0;
        counts.relations += entity.type() == osmium::item_type::relation ? 1 : 0;
    }
    return counts;
}

}  // namespace

struct Batch::State {
    osmium::memory::Buffer buffer;
    TypeCounts first;
    TypeCounts counts;

    template <typename Object>
    Elements unpack(std::uint64_t sequence, std::size_t size) const {
        Elements elements;
        elements.rows.reserve(size);
        for (const Object& object : buffer.select<Object>()) {
            unpack_into(object, elements, sequence++);
        }
        return elements;
    }
};

Batch::Batch(std::shared_ptr<const State> state) : state_(std::move(state)) {}

std::size_t Batch::nodes() const noexcept {
    return state_->counts.nodes;
}

std::size_t Batch::ways() const noexcept {
    return state_->counts.ways;
}

Elements Batch::unpack(schema::OsmType type) const {
    switch (type) {
        case schema::OsmType::node:
            return state_->unpack<osmium::Node>(state_->first.nodes, state_->counts.nodes);
        case schema::OsmType::way:
            return state_->unpack<osmium::Way>(state_->first.ways, state_->counts.ways);
        case schema::OsmType::relation:
            return state_->unpack<osmium::Relation>(state_->first.relations, state_->counts.relations);
    }
    return {};
}

void Batch::outline(schema::OsmType type, std::vector<Outline>& out) const {
    out.clear();
    if (type == schema::OsmType::node) {
        std::uint64_t sequence = state_->first.nodes;
        for (const osmium::Node& node : state_->buffer.select<osmium::Node>()) {
            const osmium::Location place = node.location();
            out.push_back(
                {node.id(), sequence++, node.version(), {place.x(), place.y()}, place.valid(), node.deleted()});
        }
    } else if (type == schema::OsmType::way) {
        std::uint64_t sequence = state_->first.ways;
        for (const osmium::Way& way : state_->buffer.select<osmium::Way>()) {
            out.push_back({way.id(), sequence++, way.version(), {}, false, way.deleted()});
        }
    }
}

struct Reader::Inputs {
    std::vector<std::string> paths;
    osmium::osm_entity_bits::type bits;
    std::size_t next_path = 0;
    std::optional<osmium::io::Reader> reader;
    TypeCounts seen;
    std::uint64_t finished_bytes = 0;
    std::uint64_t all_bytes = 0;

    [[noreturn]] void fail(const std::string& reason) const {
        const std::string& path = paths[next_path - 1];
        const std::string message = "cannot read `" + path + "`: " + reason;
        if (reason.find("lz4 blobs") != std::string::npos) {
            throw InputError(message, "osmium cat " + shell_quoted(path) + " -o zlib.osm.pbf");
        }
        // What is not supported is no damage. Whoever calls knows the command that fetches the file.
        const bool supported = reason.find("not supported") == std::string::npos;
        throw InputError(message + (supported ? "; it may be cut short or damaged" : ""));
    }

    /// The next buffer with something in it; an invalid one at the end of all inputs.
    osmium::memory::Buffer read() {
        while (reader || next_path < paths.size()) {
            if (!reader) {
                const std::string& path = paths[next_path++];
                reader.emplace(osmium::io::File{path, required_format(path)}, bits);
            }
            osmium::memory::Buffer buffer = reader->read();
            if (buffer) {
                return buffer;
            }
            finished_bytes += reader->file_size();
            reader->close();
            reader.reset();
        }
        return {};
    }
};

Reader::Reader(std::vector<std::string> inputs, ElementTypes types) : inputs_(std::make_unique<Inputs>()) {
    inputs_->paths = std::move(inputs);
    inputs_->bits = bits_of(types);
    for (const std::string& path : inputs_->paths) {
        std::error_code error;
        const auto bytes = std::filesystem::file_size(path, error);
        inputs_->all_bytes += error ? 0 : bytes;
    }
}

Reader::~Reader() = default;

bool Reader::next(Batch& batch) {
    try {
        osmium::memory::Buffer buffer = inputs_->read();
        if (!buffer) {
            return false;
        }
        const TypeCounts counts = count(buffer);
        const TypeCounts first = inputs_->seen;
        inputs_->seen = {first.nodes + counts.nodes, first.ways + counts.ways, first.relations + counts.relations};
        batch = Batch{std::make_shared<Batch::State>(Batch::State{std::move(buffer), first, counts})};
        return true;
    } catch (const Error&) {
        throw;
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const std::exception& error) {
        inputs_->fail(error.what());
    }
}

std::uint64_t Reader::offset() const {
    return inputs_->finished_bytes + (inputs_->reader ? inputs_->reader->offset() : 0);
}

std::uint64_t Reader::size() const {
    return inputs_->all_bytes;
}

void set_up_reading(std::uint32_t threads) {
    // libosmium takes these from the environment only; what stands there already is the user's wish. Queues that are
    // longer than this hold megabytes and speed nothing up.
    constexpr int keep = 0;
    (void)::setenv("OSMIUM_POOL_THREADS", std::to_string(threads).c_str(), keep);
    for (const char* queue :
         {"OSMIUM_MAX_INPUT_QUEUE_SIZE", "OSMIUM_MAX_OSMDATA_QUEUE_SIZE", "OSMIUM_MAX_WORK_QUEUE_SIZE"}) {
        (void)::setenv(queue, std::to_string(threads + 1).c_str(), keep);
    }
}

void check_input(const std::string& path) {
    (void)required_format(path);
}

std::string libosmium_version() {
    return LIBOSMIUM_VERSION_STRING;
}

}  // namespace geojepa
