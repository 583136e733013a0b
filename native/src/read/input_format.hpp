// The format of an input, recognised by its first bytes and not by its name.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "errors.hpp"

namespace geojepa {

/// The formats of an extract, for hints.
inline constexpr const char* extract_formats = "an extract is .osm.pbf, .osm, .osm.gz or .osm.bz2";

/// OPL is the exception: it has no mark at its start, so its name decides (`.opl`).
enum class InputFormat : std::uint8_t { pbf, opl, xml, xml_gzip, xml_bzip2 };

inline bool is_xml(InputFormat format) {
    return format == InputFormat::xml || format == InputFormat::xml_gzip || format == InputFormat::xml_bzip2;
}

/// Reads the first bytes of a file. Throws InputError where it cannot be opened, or where these bytes belong to no
/// format that is read; the message names what they look like.
InputFormat find_format(const std::string& path);

/// Why an input cannot be read. The reader turns it into an InputError that names the file.
class ReadError : public std::runtime_error {
public:
    explicit ReadError(const std::string& reason, Hint hint = {})
        : std::runtime_error(reason), hint_(std::move(hint)) {}

    const Hint& hint() const noexcept { return hint_; }

private:
    Hint hint_;
};

/// The bytes contradict themselves or end too early: a broken download, or a disk that failed.
class DamageError : public ReadError {
    using ReadError::ReadError;
};

/// Throws ReadError where the first bytes of a file, after unpacking, do not begin an XML document.
void check_begins_xml(const std::string& path, std::string_view bytes);

}  // namespace geojepa
