// Pieces: an object's parts in one tile, measured and rounded, as records of bytes that can be sorted and spilled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "enu.hpp"
#include "grid.hpp"
#include "schema.hpp"
#include "shape.hpp"

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
    double area_m2;
    double length_m;
    /// Number of the object in the order of its arrival.
    std::uint32_t object;
    std::uint32_t parts;
    std::uint32_t nodes;
    std::uint32_t covers_tile;
};

/// A record, taken apart.
struct PieceView {
    PieceHeader header;
    std::vector<schema::Role> roles;
    std::vector<std::uint32_t> part_nodes;
    std::vector<Position> nodes;

    void decode(std::span<const std::byte> record);
};

/// Records one after the other.
struct PieceBatch {
    struct Entry {
        PieceKey key;
        std::size_t first_byte, last_byte;
    };
    std::vector<Entry> entries;
    std::vector<std::byte> bytes;

    std::span<const std::byte> record(const Entry& entry) const {
        return std::span{bytes}.subspan(entry.first_byte, entry.last_byte - entry.first_byte);
    }
};

/// Sets the object's number in a record.
void set_object(std::span<std::byte> record, std::uint32_t object);

/// Turns parts into records. One for each thread.
class PieceBuilder {
public:
    explicit PieceBuilder(const Grid& grid) : grid_(&grid) {}

    /// Adds a record for each tile in `parts`, whose parts keep their order within it. Where `outline_covered` is set,
    /// a covered tile becomes a ring along its edges, as one part among others. Returns the number of records.
    std::size_t add(std::uint64_t object, TiledParts& parts, bool outline_covered, PieceBatch& out);

private:
    struct Frame {
        TileIndex tile{~0U, ~0U};
        EnuFrame frame{0, 0};
    };

    const EnuFrame& frame_of(TileIndex tile);
    void add_piece(std::uint64_t object, const TiledParts& parts, std::span<const std::size_t> selected,
                   PieceBatch& out);

    const Grid* grid_;
    Frame frames_[64];
    std::vector<std::size_t> order_;
    std::vector<Position> nodes_;
    std::vector<EastNorth> plane_;
};

}  // namespace geojepa
