// Converts the pieces of a tile from degrees to model-ready rows.
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

/// A tile, its bounds and its ground size.
struct TileFrame {
    std::uint32_t zoom = 0;
    Bounds bounds;
    double east_m = 0;
    double north_m = 0;
};

/// A piece as stored in `tiles.h5`.
struct PieceInput {
    schema::OsmType osm_type;
    std::int64_t osm_id;
    schema::Kind kind;
    bool covers_tile;
    std::span<const std::uint8_t> roles;        ///< one per part
    std::span<const std::uint64_t> part_nodes;  ///< first node of each part in the file, then one past the last node
    std::span<const std::int32_t> lonlat;       ///< longitude and latitude of each node of the piece
};

/// Rows of consecutive pieces.
struct ProcessedRows {
    std::vector<StoredBox> boxes;           ///< one per piece
    std::vector<std::uint32_t> part_sizes;  ///< vertices of each part
    std::vector<LatticePoint> nodes;
    std::vector<std::uint32_t> edge_counts;  ///< one per piece
    std::vector<VisibilityEdge> edges;

    /// Memory that the rows take.
    std::uint64_t bytes() const noexcept;
};

struct ProcessCounts {
    std::uint64_t tiles = 0;
    std::uint64_t pieces = 0;
    std::uint64_t parts = 0;
    std::uint64_t nodes_in = 0;
    std::uint64_t nodes_out = 0;
    std::uint64_t nodes_clamped = 0;  ///< beyond the lattice, which reaches past the tile
    std::uint64_t edges = 0;
    std::uint64_t boxes_grown = 0;  ///< with a side below the minimum, points excepted
    RingCounts rings;

    ProcessCounts& operator+=(const ProcessCounts& other);
};

/// The storage form of tile units: `value = units * scale + offset`, clamped to low..high.
struct Lattice {
    double scale = 1;
    std::int32_t offset = 0;
    std::int32_t low = 0;
    std::int32_t high = 0;
};

/// u16 with headroom at zoom 16 and finer (native/schema.yaml). Below, where the file stores f32, multiples of 2^-22,
/// which f32 represents exactly.
Lattice lattice_of(std::uint32_t zoom);

/// Processes one tile after the other. Holds buffers: one per thread.
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
