// Pieces: an object's parts in one tile, measured and rounded, as records of bytes that can be sorted and spilled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "clip/enu.hpp"
#include "clip/grid.hpp"
#include "clip/shape.hpp"
#include "columns/schema.hpp"

namespace geojepa {

/// Sorts objects by type, then id.
std::uint64_t object_key(schema::OsmType type, std::int64_t id);

/// Where a record belongs: pieces lie in the file in this order.
struct PieceKey {
    std::uint64_t tile;
    std::uint64_t object;
    friend auto operator<=>(const PieceKey&, const PieceKey&) = default;
};

/// The start of a record. Then, for each part, its role (u8) and its number of nodes (u32); then all nodes (Position).
struct PieceHeader {
    PieceKey key;
    float area_m2;
    float length_m;
    /// Number of the object in the order of its arrival.
    std::uint32_t object;
    /// Of the record. Outlines are not in it, and are parts of the piece besides.
    std::uint32_t parts;
    std::uint32_t nodes;
    std::uint32_t covers_tile : 1;
    std::uint32_t outlines : 31;
};
constexpr std::uint32_t outline_nodes = 4;

/// A piece, taken out of its record.
struct PieceView {
    PieceHeader header;
    std::vector<schema::Role> roles;
    std::vector<std::uint32_t> part_nodes;
    std::vector<Position> nodes;

    /// Outlines of the tile, as many as the header says, follow the parts of the record.
    void decode(const Grid& grid, std::span<const std::byte> record);
};

/// Tiles that an object covers whole, or has nothing in but their outlines. Their records are made when they are
/// written.
struct CoveredTiles {
    std::uint64_t object_key;
    CoveredWindow window;
    std::uint32_t object;
};

/// Records one after the other, and what stands for records.
struct PieceBatch {
    std::vector<std::size_t> first_bytes;  // of each record
    std::vector<std::byte> bytes;
    std::vector<CoveredTiles> covered;

    std::span<const std::byte> record(std::size_t i) const {
        const std::size_t last = i + 1 < first_bytes.size() ? first_bytes[i + 1] : bytes.size();
        return std::span{bytes}.subspan(first_bytes[i], last - first_bytes[i]);
    }
};

PieceHeader header_of(std::span<const std::byte> record);
std::size_t record_bytes(const PieceHeader& header);

/// Sets the object's number in a record.
void set_object(std::span<std::byte> record, std::uint32_t object);

/// Turns parts into records. One for each thread.
class PieceBuilder {
public:
    explicit PieceBuilder(const Grid& grid) : grid_(&grid) {}

    struct Added {
        std::size_t records = 0;
        std::size_t covered = 0;
    };

    /// Adds a record for each tile in `parts`, whose parts keep their order within it, and the covered tiles.
    Added add(std::uint64_t object, const TiledParts& parts, PieceBatch& out);

    /// The record of one of the tiles of `covered`; it has no parts.
    PieceHeader covering(TileIndex tile, const CoveredTiles& covered);

private:
    struct Frame {
        TileIndex tile{~0U, ~0U};
        EnuFrame frame{0, 0};
    };

    const EnuFrame& frame_of(TileIndex tile);
    void measure(std::span<const Point> points, schema::Role role, const EnuFrame& frame);
    void measure_outlines(TileIndex tile, std::uint32_t outlines);
    void add_piece(std::uint64_t object, const TiledParts& parts, std::span<const std::size_t> selected,
                   std::uint32_t outlines, PieceBatch& out);

    const Grid* grid_;
    Frame frames_[64];
    std::vector<std::size_t> order_;
    std::vector<Position> nodes_;
    std::vector<EastNorth> plane_;
    double area_m2_ = 0;  // of the piece under way, as is the length
    double length_m_ = 0;
};

}  // namespace geojepa
