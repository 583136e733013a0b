// Which edges of an area's simplified rings meet where they must not.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "process/lattice.hpp"

namespace geojepa {

/// An edge of a simplified ring and the stretch of the original that it stands for.
struct RingSegment {
    LatticeSegment line;
    std::span<const LatticePoint> stretch;  ///< original vertices from `line.from` to `line.to`, both included
    std::uint32_t ring;
    std::uint32_t ordinal;    ///< of the edge in its ring
    std::uint32_t ring_size;  ///< edges of its ring
};

/// Marks the edges in conflict, 1 or 0 each. Conflicts are:
/// - edges that cross or overlap, or of which one ends inside the other;
/// - edges of one ring that share an end without being neighbours;
/// - edges of no length;
/// - a vertex in the area between an edge and its stretch: it would change sides.
/// Rings may share a vertex.
void mark_conflicts(std::span<const RingSegment> segments, std::vector<std::uint8_t>& conflicts);

}  // namespace geojepa
