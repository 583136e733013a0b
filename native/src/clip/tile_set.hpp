// The tiles that meet polygons.
#pragma once

#include <cstdint>
#include <vector>

#include "clip/grid.hpp"
#include "clip/shape.hpp"

namespace geojepa {

class TileSet {
public:
    /// Finds the tiles that share some area with a polygon. The polygons must be valid and oriented.
    TileSet(const Grid& grid, const std::vector<Polygon>& polygons);

    bool empty() const noexcept { return spans_.empty(); }
    /// Returns the rectangle around all tiles. The set must not be empty.
    TileWindow window() const;
    bool contains(TileIndex tile) const;
    /// Removes from `parts` what lies in other tiles.
    void restrict(TiledParts& parts) const;

private:
    /// Columns first..last of row y.
    struct Span {
        std::uint32_t y = 0;
        std::uint32_t first = 0;
        std::uint32_t last = 0;
    };

    std::vector<Span>::const_iterator first_in_row(std::uint32_t y) const;

    std::vector<Span> spans_;  // sorted by row, then column; neither overlap nor touch
};

}  // namespace geojepa
