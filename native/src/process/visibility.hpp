// Edges between the parts of one piece: every vertex and the nearest vertices of other parts that it can see.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "process/lattice.hpp"

namespace geojepa {

/// Two vertices, counted from the piece's first one; the lower number first.
using VisibilityEdge = std::array<std::uint32_t, 2>;

/// The vertices of a piece, part by part.
struct PieceParts {
    std::span<const LatticePoint> nodes;
    std::span<const std::uint32_t> part_begin;   ///< first vertex of each part, and one past the last
    std::span<const std::uint8_t> part_is_ring;  ///< 1 where the last vertex is joined to the first
};

/// Visibility edges, sorted, each once.
///
/// Two vertices of different parts see each other if the straight line between them has no point in common with
/// any segment of any part, except a shared end; vertices at one place see each other over a line of no length.
/// Each vertex is joined to the `per_node` nearest that it sees (the thesis, chapter 5, joins one; open lines are
/// not closed here). Equal distances go to the lower number.
std::vector<VisibilityEdge> visibility_edges(const PieceParts& piece, std::uint32_t per_node);

/// The segments of all parts, rings closed.
std::vector<LatticeSegment> segments_of(const PieceParts& piece);

}  // namespace geojepa
