// Pieces (the parts of an object in one tile), measured and rounded, as byte records that can be sorted and spilled.
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

/// A key that sorts objects by type, then id.
std::uint64_t object_key(schema::OsmType type, std::int64_t id);

/// The sort key of the pieces in the file.
struct PieceKey {
    std::uint64_t tile = 0;
    std::uint64_t object = 0;
    friend auto operator<=>(const PieceKey&, const PieceKey&) = default;
};

/// The start of a record. It is followed by the role (u8) and the number of nodes (u32) of each part, then by all nodes
/// (Position).
struct PieceHeader {
    PieceKey key;
    float area_m2 = 0;
    float length_m = 0;
    /// Number of the object in the order of arrival.
    std::uint32_t object = 0;
    /// Parts and nodes in the record. Outlines of the tile are further parts of the piece, not stored in the record.
    std::uint32_t parts = 0;
    std::uint32_t nodes = 0;
    std::uint32_t covers_tile : 1 = 0;
    std::uint32_t outlines : 31 = 0;
};
constexpr std::uint32_t outline_nodes = 4;

/// A decoded piece.
struct PieceView {
    PieceHeader header;
    std::vector<schema::Role> roles;
    std::vector<std::uint32_t> part_nodes;
    std::vector<Position> nodes;

    /// Reads a record and appends the outlines of the tile, as many as the header says, to its parts.
    void decode(const Grid& grid, std::span<const std::byte> record);
};

/// Tiles that an object covers completely, or in which it has only outlines. Their records are made when they are
/// written.
struct CoveredTiles {
    std::uint64_t object_key = 0;
    CoveredWindow window;
    std::uint32_t object = 0;
};

/// Consecutive records, and covered tiles.
struct PieceBatch {
    std::vector<std::size_t> first_bytes;  ///< first byte of each record
    std::vector<std::byte> bytes;
    std::vector<CoveredTiles> covered;

    std::span<const std::byte> record(std::size_t i) const {
        const std::size_t last = i + 1 < first_bytes.size() ? first_bytes[i + 1] : bytes.size();
        return std::span{bytes}.subspan(first_bytes[i], last - first_bytes[i]);
    }
};

PieceHeader header_of(std::span<const std::byte> record);
std::size_t record_bytes(const PieceHeader& header);

/// Writes the number of the object into a record.
void set_object(std::span<std::byte> record, std::uint32_t object);

/// Turns parts into records. Holds buffers: one per thread.
class PieceBuilder {
public:
    explicit PieceBuilder(const Grid& grid) : grid_(&grid) {}

    struct Added {
        std::size_t records = 0;
        std::size_t covered = 0;
    };

    /// Appends a record for each tile with parts, in which the parts keep their order, and the covered tiles.
    Added add(std::uint64_t object, const TiledParts& parts, PieceBatch& out);

    /// The record of one of the covered tiles. It has no parts.
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
    double area_m2_ = 0;  // of the current piece
    double length_m_ = 0;
};

}  // namespace geojepa
