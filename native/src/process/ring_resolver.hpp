// Resolves the conflicts that simplification and rounding cause between the rings of an area.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "process/douglas_peucker.hpp"
#include "process/ring_conflicts.hpp"
#include "process/simplified_ring.hpp"

namespace geojepa {

/// Holds buffers: one per thread.
class RingResolver {
public:
    /// Changes `rings` until none meets itself or another ring, as far as possible. In this order:
    /// 1. edges in conflict get their farthest vertex back (after Saalfeld 1999, "Topologically consistent line
    ///    simplification");
    /// 2. vertices at the remaining conflicts, which rounding caused, move by one or two lattice steps;
    /// 3. rings narrower than a lattice step become triangles one step wide.
    /// Sets `refined` and `nudged` of the rings. Returns 1 for each ring that still is in conflict, else 0.
    std::vector<std::uint8_t> resolve(std::span<SimplifiedRing> rings, DouglasPeucker& simplifier);

private:
    std::size_t count_conflicts(std::span<const SimplifiedRing> rings);
    bool give_back(std::span<SimplifiedRing> rings, DouglasPeucker& simplifier);
    std::size_t nudge(std::span<SimplifiedRing> rings, std::size_t conflicts);
    std::size_t nudge_one(std::span<SimplifiedRing> rings, std::size_t conflicts, std::span<const LatticePoint> steps);
    std::size_t open_slivers(std::span<SimplifiedRing> rings, std::size_t conflicts);
    std::size_t open_sliver(std::span<SimplifiedRing> rings, std::size_t row, std::size_t conflicts);

    std::vector<RingSegment> segments_;  // the edges of the rings as counted last
    std::vector<std::uint8_t> conflicts_;
};

}  // namespace geojepa
