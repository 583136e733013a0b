// One ring during simplification.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "process/douglas_peucker.hpp"
#include "process/piece_shape.hpp"

namespace geojepa {

/// Between `from` and `to`, exclusive: the position farthest from the segment between the two that is on the lattice
/// point of neither. Returns `from` where there is none.
std::size_t farthest_between(std::span<const EastNorth> metres, std::span<const LatticePoint> lattice, std::size_t from,
                             std::size_t to);

/// Unmarks kept positions that share a lattice point with the previous kept position. Keeps both ends, and at least
/// `min_kept` positions.
void drop_repeats(std::span<const LatticePoint> chain, std::size_t min_kept, std::span<std::uint8_t> keep);

/// The vertices of a ring from an anchor back to the anchor, which is the first and the last position.
struct SimplifiedRing {
    std::vector<std::uint32_t> vertices;  ///< vertex of the piece at each position
    std::vector<EastNorth> metres;
    std::vector<LatticePoint> lattice;
    std::vector<std::uint8_t> keep;  ///< 1 for positions that are kept
    bool clockwise = false;          ///< required orientation
    bool refined = false;            ///< got vertices back because of a conflict
    bool nudged = false;             ///< had a vertex moved by a lattice step

    /// Takes over a part of `shape` and simplifies it without regard to other rings. Keeps at least three vertices.
    void load(const PieceShape& shape, std::size_t part, DouglasPeucker& simplifier);

    /// Whether the kept vertices have the required orientation and enclose an area.
    bool is_oriented() const;
    /// Whether all vertices lie within a lattice step of the line through the first and the farthest one.
    bool is_sliver() const;
    /// Position of the vertex farthest from the first one on the lattice.
    std::size_t farthest() const;
    /// Moves a vertex on the lattice. The anchor moves at both ends.
    void move(std::size_t at, LatticePoint to);

private:
    void load_vertices(const PieceShape& shape, std::size_t part);
    void complete_triangle();
    std::int64_t twice_area() const;
};

}  // namespace geojepa
