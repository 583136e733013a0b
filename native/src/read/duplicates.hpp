// Elements of which the input holds several versions: histories, and extracts that overlap.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "read/long_array.hpp"

namespace geojepa {

/// Sequence numbers, sorted, of the elements of which a newer version is in the input, or, of equal versions, a later
/// one. Only looked for where files are not sorted by type and id, or more than one.
struct Superseded {
    explicit Superseded(ArrayMemory& arrays) : nodes(arrays), ways(arrays) {}

    LongArray<std::uint64_t> nodes;
    LongArray<std::uint64_t> ways;
};

/// Reads the inputs once, and once more where an id occurs twice.
void find_superseded(const std::vector<std::string>& inputs, ArrayMemory& arrays, Superseded& found);

}  // namespace geojepa
