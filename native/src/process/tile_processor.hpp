// One tile's pieces, from degrees to what the model reads.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "clip/enu.hpp"
#include "clip/grid.hpp"
#include "process/box.hpp"
#include "process/piece_shape.hpp"
#include "process/simplify.hpp"
#include "process/visibility.hpp"

namespace geojepa {

/// A tile and where its plane lies.
struct TileFrame {
    std::uint32_t zoom;
    Bounds bounds;
    double east_m;
    double north_m;
};

/// A piece as `tiles.h5` has it.
struct PieceInput {
    schema::OsmType osm_type;
    std::int64_t osm_id;
    schema::Kind kind;
    bool covers_tile;
    std::span<const std::uint8_t> roles;        ///< one per part
    std::span<const std::uint64_t> part_nodes;  ///< offsets of the parts, and one past the last
    std::span<const std::int32_t> lonlat;       ///< pairs, from the node at `part_nodes.front()` on
};

/// Rows of several pieces, one after the other.
struct ProcessedRows {
    std::vector<StoredBox> boxes;           ///< one per piece
    std::vector<std::uint32_t> part_sizes;  ///< vertices of each part
    std::vector<LatticePoint> nodes;
    std::vector<std::uint32_t> edge_counts;  ///< one per piece
    std::vector<VisibilityEdge> edges;
};

struct ProcessCounts {
    std::uint64_t tiles = 0;
    std::uint64_t pieces = 0;
    std::uint64_t parts = 0;
    std::uint64_t nodes_in = 0;
    std::uint64_t nodes_out = 0;
    std::uint64_t nodes_clamped = 0;  ///< lay further outside their tile than the lattice reaches
    std::uint64_t edges = 0;
    std::uint64_t boxes_grown = 0;  ///< had a side under the least one; points not counted
    RingCounts rings;

    ProcessCounts& operator+=(const ProcessCounts& other);
};

/// How tile units are stored: `value = units * scale + offset`, limited to low..high.
struct Lattice {
    double scale;
    std::int32_t offset;
    std::int32_t low;
    std::int32_t high;
};

/// u16 with headroom at zoom 16 and finer (native/schema.yaml); below, where a file keeps f32, multiples of 2^-22,
/// which f32 holds exactly.
Lattice lattice_of(std::uint32_t zoom);

/// Works on tiles one after the other. Holds buffers: one per thread.
class TileProcessor {
public:
    TileProcessor(double simplify_m, std::uint32_t visibility_k, double min_side_m)
        : simplify_m_{simplify_m}, simplifier_{simplify_m}, visibility_k_{visibility_k}, min_side_m_{min_side_m} {}

    void begin_tile(const TileFrame& tile);
    void add_piece(const PieceInput& piece, ProcessedRows& rows, ProcessCounts& counts);

private:
    void project(const PieceInput& piece, ProcessCounts& counts);
    void fix_border(std::span<const std::int32_t> lonlat, std::size_t part);
    unsigned border_sides(std::int32_t lon, std::int32_t lat) const;
    StoredBox box_of(const PieceInput& piece, ProcessCounts& counts);
    void add_kept(ProcessedRows& rows, ProcessCounts& counts);

    double simplify_m_;
    Simplifier simplifier_;
    std::uint32_t visibility_k_;
    double min_side_m_;
    TileFrame tile_{};
    EnuFrame frame_{0, 0};
    Lattice lattice_{};
    PieceShape shape_;
    std::vector<std::uint8_t> keep_;
    std::vector<EastNorth> hull_points_;
    std::vector<std::uint32_t> kept_part_begin_;
    std::vector<std::uint8_t> part_is_ring_;
};

}  // namespace geojepa
