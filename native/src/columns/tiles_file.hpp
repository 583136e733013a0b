// Writes `tiles.h5`.
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

/// Writes the objects and the sorted pieces. `objects` must be finished. `pieces` is empty afterwards.
FileCounts write_tiles_file(const std::string& path, const Grid& grid, ArrayMemory& arrays, ObjectTable& objects,
                            PieceSorter& pieces);

}  // namespace geojepa
