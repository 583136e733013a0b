// Simplification of a piece. No ring ends up crossing itself or another ring of its area.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "process/douglas_peucker.hpp"
#include "process/piece_shape.hpp"
#include "process/ring_resolver.hpp"
#include "process/simplified_ring.hpp"

namespace geojepa {

/// Numbers of rings, over one or more pieces.
struct RingCounts {
    std::uint64_t refined = 0;   ///< got vertices back, because without them the ring was in conflict
    std::uint64_t nudged = 0;    ///< had a vertex moved by a lattice step, because rounding caused a conflict
    std::uint64_t crossing = 0;  ///< still meet themselves or another ring: the input did
};

/// Chooses the vertices to keep by Douglas–Peucker in metres. Holds buffers: one per thread.
///
/// No vertex of the input is farther from the result than the tolerance, and no point of the result farther from the
/// input (Hausdorff distance). Ends of lines and `fixed` vertices are kept; a ring keeps at least three vertices.
/// Where simplified rings of an area meet, or an edge passes to the other side of a vertex, RingResolver corrects them.
/// A vertex on the same lattice point as the previous one is dropped for any tolerance.
class Simplifier {
public:
    explicit Simplifier(double tolerance_m) : simplifier_{tolerance_m} {}

    void set_tolerance(double tolerance_m) { simplifier_.set_tolerance(tolerance_m); }

    /// Writes 1 (keep) or 0 for each vertex. May move a vertex of a ring by one or two lattice steps.
    void choose(PieceShape& shape, std::vector<std::uint8_t>& keep, RingCounts& counts);

private:
    void choose_line(const PieceShape& shape, std::size_t part, std::vector<std::uint8_t>& keep);
    void choose_rings(PieceShape& shape, std::size_t first, std::size_t last, std::vector<std::uint8_t>& keep,
                      RingCounts& counts);

    DouglasPeucker simplifier_;
    RingResolver resolver_;
    std::vector<SimplifiedRing> rings_;
};

}  // namespace geojepa
