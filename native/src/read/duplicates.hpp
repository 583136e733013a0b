// Elements of which the inputs hold several copies: histories, overlapping extracts, and several `out` statements of
// one Overpass query.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "read/locations.hpp"
#include "read/long_array.hpp"
#include "read/reader.hpp"

namespace geojepa {

/// Orders the copies of an element; the last one is kept. A higher version comes later. Of equal versions, copies with
/// tags come later, then those with a position, references or members, then those that were read later. So a bare copy
/// (`out skel`) does not take tags away. A copy that marks the element as deleted counts as complete.
struct CopyRank {
    std::uint32_t version;
    std::uint32_t tagged;  // 0 or 1, as `placed`
    std::uint32_t placed;
    std::uint64_t sequence;

    CopyRank(std::uint32_t copy_version, bool deleted, bool has_tags, bool has_place, std::uint64_t copy_sequence)
        : version(copy_version),
          tagged(deleted || has_tags ? 1 : 0),
          placed(deleted || has_place ? 1 : 0),
          sequence(copy_sequence) {}
    friend auto operator<=>(const CopyRank&, const CopyRank&) = default;
};

/// The copies that are not kept. Needed only where the inputs are not sorted by type and id, or are more than one.
struct Superseded {
    explicit Superseded(ArrayMemory& arrays) : nodes(arrays), ways(arrays), positions(arrays), bare_ways(arrays) {}

    /// Sorted sequence numbers of the copies.
    LongArray<std::uint64_t> nodes;
    LongArray<std::uint64_t> ways;
    /// Positions of nodes whose kept copy has none, from another copy of the same version (`out tags; out skel;`).
    LocationIndex positions;
    /// Sorted ids of ways whose kept copy has no references, while another copy of the same version does.
    LongArray<std::int64_t> bare_ways;
};

/// Reads the inputs once, and a second time where an id occurs twice.
void find_superseded(const std::vector<std::string>& inputs, ArrayMemory& arrays, Superseded& found);

}  // namespace geojepa
