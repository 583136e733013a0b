// Reads the pieces of some consecutive tiles of `tiles.h5`, and checks that their rows lie where they should.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "columns.hpp"
#include "tile_processor.hpp"

namespace geojepa {

/// What to type when the input is of no use.
inline constexpr const char* tile_hint = "geojepa-tiler tile --input EXTRACT --output TILES makes it anew";

/// The columns that are looked up by tile or object; those of parts and vertices are read batch by batch.
/// Throws InputError where tables do not fit together.
struct Directory {
    explicit Directory(const ColumnReader& input);

    TileFrame frame(std::size_t tile, const Grid& grid) const;
    /// One past the last tile of the batch that starts here: it does not depend on the number of threads.
    std::size_t batch_end(std::size_t first_tile) const;

    std::vector<std::uint32_t> tile_x;
    std::vector<std::uint32_t> tile_y;
    std::vector<double> east_m;
    std::vector<double> north_m;
    std::vector<std::uint64_t> tile_pieces;
    std::vector<std::uint8_t> osm_type;
    std::vector<std::int64_t> osm_id;
    std::vector<std::uint8_t> kind;
    std::size_t pieces;
    std::size_t parts;
    std::size_t nodes;
};

/// The rows of tiles [first, last). Throws InputError where they are damaged.
class TileBatch {
public:
    TileBatch(const ColumnReader& input, const Directory& directory, std::size_t first_tile, std::size_t last_tile);

    /// The piece in this row of the file.
    PieceInput piece(std::uint64_t row) const;

private:
    void check_parts(std::size_t first, std::size_t last) const;

    const Directory& directory_;
    std::uint64_t first_piece_;
    std::uint64_t first_part_ = 0;
    std::vector<std::uint32_t> piece_object_;
    std::vector<std::uint8_t> covers_tile_;
    std::vector<std::uint64_t> piece_parts_;
    std::vector<std::uint8_t> roles_;
    std::vector<std::uint64_t> part_nodes_;
    std::vector<std::int32_t> lonlat_;
};

}  // namespace geojepa
