// Douglas–Peucker in metres that never breaks a ring or lets one ring cross another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "process/piece_shape.hpp"
#include "process/ring_conflicts.hpp"

namespace geojepa {

/// What became of the rings of one or more pieces.
struct RingCounts {
    std::uint64_t refined = 0;   ///< got vertices back, since without them they met something or lost their area
    std::uint64_t nudged = 0;    ///< met something once on the lattice, and had a vertex moved by a step of it
    std::uint64_t crossing = 0;  ///< meet themselves or another ring after all that: as they came
};

/// Chooses the vertices to keep. Holds buffers: one per thread.
///
/// No vertex lies further than the tolerance from the result, and no point of the result further from the input
/// (Hausdorff distance). Ends of lines and `fixed` vertices stay; a ring keeps at least three vertices. Where the
/// shortened rings of an area meet, or leave another vertex on the wrong side, the stretches concerned get their
/// farthest vertex back until they do not (after Saalfeld 1999, "Topologically consistent line simplification").
/// Where rounding to the lattice alone made them meet, a vertex is moved by a step or two of it. A ring that is
/// narrower than a step, a sliver along a tile's edge perhaps, becomes a triangle one step wide. What crosses even then
/// came so. A vertex on the lattice point of the one before goes, whatever the tolerance.
class Simplifier {
public:
    explicit Simplifier(double tolerance_m) : tolerance_m_{tolerance_m} {}

    void set_tolerance(double tolerance_m) { tolerance_m_ = tolerance_m; }

    /// Writes 1 (keep) or 0 per vertex; may move a vertex of a ring by a step or two of the lattice.
    void choose(PieceShape& shape, std::vector<std::uint8_t>& keep, RingCounts& counts);

private:
    /// A ring from an anchor round to itself: its first vertex stands at both ends.
    struct Ring {
        std::vector<std::uint32_t> vertices;
        std::vector<EastNorth> metres;
        std::vector<LatticePoint> lattice;
        std::vector<std::uint8_t> keep;
        bool clockwise;
        bool refined;
        bool nudged;

        bool turns_as_it_should() const;
        bool is_sliver() const;
        std::int64_t twice_area() const;
        /// The vertex farthest from the first one on the lattice.
        std::size_t farthest() const;
        void move(std::size_t at, LatticePoint to);
    };

    void choose_line(const PieceShape& shape, std::size_t part, std::vector<std::uint8_t>& keep);
    void choose_rings(PieceShape& shape, std::size_t first, std::size_t last, std::vector<std::uint8_t>& keep,
                      RingCounts& counts);
    void load_ring(const PieceShape& shape, std::size_t part, Ring& ring);
    static void complete_triangle(Ring& ring);
    std::size_t count_conflicts(std::span<const Ring> rings);
    bool give_back(std::span<Ring> rings);
    std::size_t nudge(std::span<Ring> rings, std::size_t conflicts);
    std::size_t nudge_one(std::span<Ring> rings, std::size_t conflicts, std::span<const LatticePoint> steps);
    std::size_t open_slivers(std::span<Ring> rings, std::size_t conflicts);
    std::size_t open_sliver(std::span<Ring> rings, std::size_t row, std::size_t conflicts);
    void keep_between(std::span<const EastNorth> chain, std::size_t from, std::size_t to, std::span<std::uint8_t> keep);
    void keep_between_anchors(std::span<const EastNorth> chain, std::span<std::uint8_t> keep);

    double tolerance_m_;
    std::vector<std::pair<std::size_t, std::size_t>> stretches_;
    std::vector<Ring> rings_;
    std::vector<RingSegment> segments_;
    std::vector<std::uint8_t> conflicts_;
};

}  // namespace geojepa
