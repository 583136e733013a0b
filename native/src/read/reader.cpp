// Opens inputs one after the other: XML by the project's reader, PBF and OPL by libosmium.
#include "read/reader.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <osmium/io/any_compression.hpp>
#include <osmium/io/file.hpp>
#include <osmium/io/opl_input.hpp>
#include <osmium/io/pbf_input.hpp>
#include <osmium/io/reader.hpp>
#include <osmium/memory/buffer.hpp>
#include <osmium/version.hpp>
#include <string_view>
#include <utility>

#include "errors.hpp"
#include "read/input_format.hpp"
#include "read/unpack.hpp"
#include "read/xml_reader.hpp"

namespace geojepa {
namespace {

osmium::osm_entity_bits::type bits_of(ElementTypes types) {
    using namespace osmium::osm_entity_bits;
    return (types.nodes ? node : nothing) | (types.ways ? way : nothing) | (types.relations ? relation : nothing);
}

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

[[noreturn]] void fail(const std::string& path, const ReadError& error) {
    const bool damaged = dynamic_cast<const DamageError*>(&error) != nullptr;
    throw InputError(
        "cannot read `" + path + "`: " + error.what() + (damaged ? "; it may be cut short or damaged" : ""),
        error.hint());
}

/// Sorts libosmium's exceptions by their meaning. Only for PBF does it throw where bytes are damaged; messages about
/// features that are missing, and about texts that are too long, belong to whole files.
[[noreturn]] void fail_in_libosmium(const std::string& path, const std::exception& error) {
    const std::string reason = error.what();
    if (contains(reason, "lz4 blobs")) {
        fail(path, ReadError{reason, {.command = {"osmium", "cat", path, "-o", "zlib.osm.pbf"}}});
    }
    const bool whole = contains(reason, "not supported") || contains(reason, "required feature") ||
                       contains(reason, "overlong") || contains(reason, "too long");
    const bool system = dynamic_cast<const std::system_error*>(&error) != nullptr;
    if (whole || system || path.ends_with(".opl")) {
        fail(path, ReadError{reason});
    }
    fail(path, DamageError{reason});
}

/// One input: its reader, and the batches out of it.
class Input {
public:
    Input(const std::string& path, osmium::osm_entity_bits::type types) : path_(path) {
        const InputFormat format = find_format(path);
        if (is_xml(format)) {
            xml_.emplace(path, format, types);
        } else {
            other_.emplace(osmium::io::File{path, format == InputFormat::pbf ? "pbf" : "opl"}, types);
        }
    }

    /// An invalid buffer at the end.
    XmlReader::Batch next() {
        if (xml_) {
            return xml_->next();
        }
        return {other_->read(), {}};
    }
    std::uint64_t offset() const { return xml_ ? xml_->offset() : other_->offset(); }
    const InputNotes* notes() const { return xml_ ? &xml_->notes() : nullptr; }

private:
    std::string path_;
    std::optional<XmlReader> xml_;
    std::optional<osmium::io::Reader> other_;
};

/// Runs `read`, and turns its exceptions into an InputError about `path`.
template <typename Read>
auto reading(const std::string& path, const Read& read) {
    try {
        return read();
    } catch (const Error&) {
        throw;
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const ReadError& error) {
        fail(path, error);
    } catch (const std::exception& error) {
        fail_in_libosmium(path, error);
    }
}

}  // namespace

struct Reader::Inputs {
    std::vector<std::string> paths;
    osmium::osm_entity_bits::type bits = osmium::osm_entity_bits::nothing;
    std::size_t next_path = 0;
    std::optional<Input> input;
    TypeCounts seen;
    InputNotes notes;
    std::uint64_t finished_bytes = 0;
    std::uint64_t all_bytes = 0;

    const std::string& path() const { return paths[next_path - 1]; }

    /// Opens the next input.
    void open_next() {
        ++next_path;
        reading(path(), [&] { input.emplace(path(), bits); });
    }

    void close() {
        if (const InputNotes* found = input->notes()) {
            notes.remarks.insert(notes.remarks.end(), found->remarks.begin(), found->remarks.end());
            notes.overpass = found->overpass;
            notes.changesets += found->changesets;
            notes.overpass_areas += found->overpass_areas;
        }
        finished_bytes += input->offset();
        input.reset();
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
    while (inputs_->input || inputs_->next_path < inputs_->paths.size()) {
        if (!inputs_->input) {
            inputs_->open_next();
        }
        XmlReader::Batch read = reading(inputs_->path(), [&] { return inputs_->input->next(); });
        if (read.buffer) {
            batch = make_batch(std::move(read.buffer), std::move(read.centred), inputs_->seen);
            return true;
        }
        inputs_->close();
    }
    return false;
}

std::uint64_t Reader::offset() const {
    return inputs_->finished_bytes + (inputs_->input ? inputs_->input->offset() : 0);
}

std::uint64_t Reader::size() const {
    return inputs_->all_bytes;
}

const InputNotes& Reader::notes() const {
    return inputs_->notes;
}

void set_up_reading(std::uint32_t threads) {
    // libosmium takes these from the environment only; values that are set already are the user's. Longer queues
    // hold megabytes and speed up nothing.
    constexpr int keep = 0;
    (void)::setenv("OSMIUM_POOL_THREADS", std::to_string(threads).c_str(), keep);
    for (const char* queue :
         {"OSMIUM_MAX_INPUT_QUEUE_SIZE", "OSMIUM_MAX_OSMDATA_QUEUE_SIZE", "OSMIUM_MAX_WORK_QUEUE_SIZE"}) {
        (void)::setenv(queue, std::to_string(threads + 1).c_str(), keep);
    }
}

void check_input(const std::string& path) {
    const InputFormat format = find_format(path);
    if (is_xml(format)) {
        reading(path, [&] { XmlReader{path, format, osmium::osm_entity_bits::nothing}.read_root(); });
    }
}

std::string libosmium_version() {
    return LIBOSMIUM_VERSION_STRING;
}

}  // namespace geojepa
