// `tiles.h5`: objects and sorted pieces, written column by column in one go.
#pragma once

#include <cstdint>
#include <string>

#include "clip/grid.hpp"
#include "columns/object_table.hpp"
#include "columns/piece_sorter.hpp"
#include "read/long_array.hpp"

namespace geojepa {

struct FileCounts {
    std::uint64_t tiles = 0;
    std::uint64_t pieces = 0;
    std::uint64_t covering_pieces = 0;
    std::uint64_t parts = 0;
    std::uint64_t nodes = 0;
    ObjectTable::Counts objects;
};

/// Writes the file. `objects` must be finished; `pieces` is used up.
FileCounts write_tiles_file(const std::string& path, const Grid& grid, ArrayMemory& arrays, ObjectTable& objects,
                            PieceSorter& pieces);

}  // namespace geojepa
