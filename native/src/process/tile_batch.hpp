// The pieces of consecutive tiles of `tiles.h5`, with their rows checked against the size of the tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "columns/column_reader.hpp"
#include "process/tile_processor.hpp"

namespace geojepa {

/// Hint for an input that cannot be used.

/// The mapped columns that `process` reads. Throws InputError where the lengths of the tables do not match.
struct Directory {
    explicit Directory(const ColumnReader& input);

    TileFrame frame(std::size_t tile, const Grid& grid) const;
    /// One past the last tile of the batch that starts here. Independent of the number of threads.
    std::size_t batch_end(std::size_t first_tile) const;

    MappedColumn<std::uint32_t> tile_x;
    MappedColumn<std::uint32_t> tile_y;
    MappedColumn<double> east_m;
    MappedColumn<double> north_m;
    MappedColumn<std::uint64_t> tile_pieces;
    MappedColumn<std::uint8_t> osm_type;
    MappedColumn<std::int64_t> osm_id;
    MappedColumn<std::uint8_t> kind;
    MappedColumn<std::uint32_t> piece_object;
    MappedColumn<std::uint8_t> covers_tile;
    MappedColumn<std::uint64_t> piece_parts;
    MappedColumn<std::uint8_t> roles;
    MappedColumn<std::uint64_t> part_nodes;
    MappedColumn<std::int32_t> lonlat;
    std::size_t pieces;
    std::size_t parts;
    std::size_t nodes;
};

/// The pieces of tiles [first, last). Throws InputError where they are damaged.
class TileBatch {
public:
    TileBatch(const Directory& directory, std::size_t first_tile, std::size_t last_tile);

    /// The piece in row `row` of the file.
    PieceInput piece(std::uint64_t row) const;

private:
    void check_parts(std::size_t first, std::size_t last) const;

    const Directory& directory_;
};

}  // namespace geojepa
