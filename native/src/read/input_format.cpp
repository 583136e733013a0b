// Signatures of the formats that are read, and of files that people take for extracts.
#include "read/input_format.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>

#include "errors.hpp"

namespace geojepa {
namespace {

constexpr std::size_t head_bytes = 1024;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::string_view blanks = " \t\r\n";

std::string first_bytes(const std::string& path) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
        throw InputError("`" + path + "` is a directory, not an extract", {.advice = extract_formats});
    }
    std::ifstream file{path, std::ios::binary};
    if (!file) {
        throw InputError("cannot open `" + path + "`: " + std::strerror(errno));
    }
    std::array<char, head_bytes> bytes{};
    file.read(bytes.data(), bytes.size());
    return {bytes.data(), static_cast<std::size_t>(file.gcount())};
}

std::string lower(std::string_view text) {
    std::string result{text};
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
    return result;
}

bool is_html(std::string_view bytes) {
    const std::string text = lower(bytes);
    return text.find("<!doctype html") != std::string::npos || text.find("<html") != std::string::npos;
}

std::string_view without_mark_and_blanks(std::string_view bytes) {
    if (bytes.starts_with(byte_order_mark)) {
        bytes.remove_prefix(byte_order_mark.size());
    }
    bytes.remove_prefix(std::min(bytes.find_first_not_of(blanks), bytes.size()));
    return bytes;
}

/// Whether the bytes begin an XML document: in UTF-8 or a superset of ASCII, or in UTF-16 of either byte order.
bool begins_xml(std::string_view bytes) {
    using namespace std::string_view_literals;
    const bool utf16 = bytes.starts_with("\xFF\xFE"sv) || bytes.starts_with("\xFE\xFF"sv) ||
                       bytes.starts_with("<\0"sv) || bytes.starts_with("\0<"sv);
    return utf16 || without_mark_and_blanks(bytes).starts_with('<');
}

bool begins_pbf(std::string_view bytes) {
    // Four bytes of length, then a BlobHeader whose first field is the string "OSMHeader".
    return bytes.size() > 15 && bytes.substr(4, 11) == "\x0a\x09OSMHeader";
}

std::string describe_stranger(std::string_view bytes) {
    constexpr std::array<std::pair<std::string_view, const char*>, 8> signatures = {{
        {"PK\x03\x04", "a ZIP archive"},
        {"SQLite format 3", "an SQLite or GeoPackage file"},
        {"\x89HDF", "an HDF5 file"},
        {"\xFF\xE0", "an o5m file"},
        {"7z\xBC\xAF", "a 7z archive"},
        {"\xFD"
         "7zXZ",
         "an xz archive"},
        {"\x28\xB5\x2F\xFD", "a Zstandard archive"},
        {"version https://git-lfs", "a pointer of git-lfs, not the file itself"},
    }};
    if (bytes.empty()) {
        return "it is empty";
    }
    if (is_html(bytes)) {
        return "it looks like an HTML page";
    }
    for (const auto& [signature, name] : signatures) {
        if (bytes.starts_with(signature)) {
            return std::string{"it looks like "} + name;
        }
    }
    return without_mark_and_blanks(bytes).starts_with('{') ? "it looks like JSON" : "its format is unknown";
}

std::optional<InputFormat> format_of(const std::string& path, std::string_view bytes) {
    if (path.ends_with(".opl")) {
        return InputFormat::opl;
    }
    if (begins_pbf(bytes)) {
        return InputFormat::pbf;
    }
    if (bytes.starts_with("\x1f\x8b")) {
        return InputFormat::xml_gzip;
    }
    if (bytes.starts_with("BZh")) {
        return InputFormat::xml_bzip2;
    }
    if (begins_xml(bytes) && !is_html(bytes)) {
        return InputFormat::xml;
    }
    return std::nullopt;
}

}  // namespace

InputFormat find_format(const std::string& path) {
    const std::string bytes = first_bytes(path);
    const std::optional<InputFormat> format = format_of(path, bytes);
    if (!format) {
        throw InputError("`" + path + "` is not an OpenStreetMap extract: " + describe_stranger(bytes),
                         {.advice = extract_formats});
    }
    return *format;
}

void check_begins_xml(const std::string& path, std::string_view bytes) {
    bytes = bytes.substr(0, head_bytes);
    if (begins_pbf(bytes)) {
        throw ReadError("it is a PBF file that is compressed twice", {.command = {"gunzip", "--keep", path}});
    }
    if (is_html(bytes) || !begins_xml(bytes)) {
        throw ReadError("it is not OSM XML: " + describe_stranger(bytes), {.advice = extract_formats});
    }
}

}  // namespace geojepa
