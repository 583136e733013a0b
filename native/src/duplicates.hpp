// Elements of which the input holds several versions: histories, and extracts that overlap.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace geojepa {

/// Sequence numbers, sorted, of the elements of which a newer version is in the input, or, of equal versions, a later
/// one. Only looked for where files are not sorted by type and id, or more than one.
struct Superseded {
    std::vector<std::uint64_t> nodes;
    std::vector<std::uint64_t> ways;
};

/// Reads the inputs once, and once more where an id occurs twice.
Superseded find_superseded(const std::vector<std::string>& inputs);

}  // namespace geojepa
