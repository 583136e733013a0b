// Visibility edges between the parts of one piece.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "process/lattice.hpp"

namespace geojepa {

/// Two vertices, counted from the first of the piece. The lower number comes first.
using VisibilityEdge = std::array<std::uint32_t, 2>;

/// The vertices of a piece, part by part.
struct PieceParts {
    std::span<const LatticePoint> nodes;
    std::span<const std::uint32_t> part_begin;   ///< first vertex of each part, then the number of vertices
    std::span<const std::uint8_t> part_is_ring;  ///< 1 where an edge joins the last vertex to the first
};

/// Joins each vertex to the `per_node` nearest vertices of other parts that it sees. Returns the edges sorted, without
/// repetitions.
///
/// Two vertices of different parts see each other if the straight line between them has no point in common with any
/// segment of any part, except a shared end. Vertices at the same place see each other. Of equal distances, the vertex
/// with the lower number wins. The GeoJEPA thesis (chapter 5) joins one vertex; unlike there, open lines are not
/// closed.
std::vector<VisibilityEdge> visibility_edges(const PieceParts& piece, std::uint32_t per_node);

/// The segments of all parts, including the closing segments of rings.
std::vector<LatticeSegment> segments_of(const PieceParts& piece);

}  // namespace geojepa
