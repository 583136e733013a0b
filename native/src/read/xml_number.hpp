// Numbers in the attributes of OSM XML.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace geojepa {

/// Degrees in units of 1e-7, rounded half away from zero. Reads `-77.86`, `.5` and `4.0e1`. Nothing where the text is
/// not a number, or where the number does not fit into 32 bits (beyond 214 degrees).
std::optional<std::int32_t> parse_degrees(std::string_view text);

/// A whole number of 64 bits, in decimal digits with an optional minus.
std::optional<std::int64_t> parse_whole(std::string_view text);

}  // namespace geojepa
