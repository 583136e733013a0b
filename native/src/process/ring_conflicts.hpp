// Finds edges of an area's simplified rings that are in conflict.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "process/lattice.hpp"

namespace geojepa {

/// An edge of a simplified ring and the stretch of the original ring that it replaces.
struct RingSegment {
    LatticeSegment line;
    std::span<const LatticePoint> stretch;  ///< original vertices from `line.from` to `line.to`, inclusive
    std::uint32_t ring = 0;
    std::uint32_t ordinal = 0;    ///< of the edge in its ring
    std::uint32_t ring_size = 0;  ///< number of edges in its ring
};

/// Writes 1 for each edge in conflict, else 0. Conflicts are:
/// - edges that cross or overlap, or one of which ends inside the other;
/// - edges of one ring that share an end without being neighbours;
/// - edges of length 0;
/// - an edge with a vertex in the area between it and its stretch: that vertex would change sides.
/// Different rings may share a vertex.
void mark_conflicts(std::span<const RingSegment> segments, std::vector<std::uint8_t>& conflicts);

}  // namespace geojepa
