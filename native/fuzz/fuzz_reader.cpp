// Bytes as an extract: whatever they are, reading ends with elements or with an InputError.
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "errors.hpp"
#include "read/reader.hpp"

namespace {

/// A file that is overwritten with every input.
class Scratch {
public:
    Scratch() : file_(::mkstemp(path_.data())) {
        if (file_ < 0) {
            std::abort();
        }
    }
    ~Scratch() {
        (void)::close(file_);
        (void)::unlink(path_.data());
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    std::string write(const std::uint8_t* data, std::size_t size) const {
        if (::ftruncate(file_, 0) != 0 || ::pwrite(file_, data, size, 0) != static_cast<ssize_t>(size)) {
            std::abort();
        }
        close_what_was_left_open();
        return path_.data();
    }

private:
    /// libosmium leaves a PBF file open where it throws. This is harmless in a program that ends then; here, after some
    /// thousand inputs, no further file could be opened, and every input would seem to be refused.
    void close_what_was_left_open() const {
        const int tried = ::dup(file_);
        for (int file = file_ + 1; file <= tried; ++file) {
            (void)::close(file);
        }
    }

    std::array<char, 32> path_{"/tmp/geojepa-fuzz-XXXXXX"};
    int file_;
};

/// Reads every position as a number, so that a range outside its array is found.
std::size_t touch(std::span<const geojepa::Position> positions) {
    std::size_t sum = 0;
    for (const geojepa::Position position : positions) {
        sum += static_cast<std::uint32_t>(position.lon) ^ static_cast<std::uint32_t>(position.lat);
    }
    return sum;
}

/// Every range must lie in its array, every text must be readable.
std::size_t touch(const geojepa::Elements& elements) {
    std::size_t bytes = 0;
    for (const geojepa::MemberShape& shape : elements.member_shapes) {
        bytes += touch(elements.positions_of(shape));
    }
    for (const geojepa::Element& element : elements.rows) {
        for (const geojepa::Tag& tag : elements.tags_of(element)) {
            bytes += tag.key.size() + tag.value.size() + (tag.value.empty() ? 0U : (tag.value.back() != 0 ? 1U : 0U));
        }
        if (!elements.members.empty()) {
            for (const geojepa::Member& member : elements.members_of(element)) {
                bytes += member.role.size();
            }
        } else if (!elements.refs.empty()) {
            bytes += elements.refs_of(element).size() + touch(elements.ref_positions_of(element));
        }
    }
    return bytes;
}

void read_all(const std::string& path) {
    geojepa::check_input(path);
    geojepa::Reader reader{{path}, {true, true, true}};
    geojepa::Batch batch{nullptr};
    std::vector<geojepa::ElementHeader> headers;
    std::vector<geojepa::Copy> copies;
    while (reader.next(batch)) {
        std::size_t bytes = 0;
        using enum geojepa::schema::OsmType;
        for (const auto type : {node, way, relation}) {
            bytes += touch(batch.unpack(type));
            batch.headers(type, headers);
            batch.copies(type, copies);
        }
        if (bytes == std::numeric_limits<std::size_t>::max()) {
            std::abort();
        }
    }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Scratch scratch;
    geojepa::set_up_reading(1);
    try {
        read_all(scratch.write(data, size));
    } catch (const geojepa::InputError&) {
        return 0;
    }
    return 0;
}
