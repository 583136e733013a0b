// The tiles of an area of interest, which need not be a rectangle.
#pragma once

#include <cstdint>
#include <vector>

#include "clip/grid.hpp"
#include "clip/shape.hpp"

namespace geojepa {

class TileSet {
public:
    /// The tiles that share some area with a polygon. Polygons must be valid and oriented.
    TileSet(const Grid& grid, const std::vector<Polygon>& polygons);

    bool empty() const noexcept { return spans_.empty(); }
    /// The rectangle around all tiles. The set must not be empty.
    TileWindow window() const;
    bool contains(TileIndex tile) const;
    /// Leaves of `parts` what lies in tiles of the set.
    void restrict(TiledParts& parts) const;

private:
    /// Columns first..last of a row; sorted by row, then column, and apart from each other.
    struct Span {
        std::uint32_t y, first, last;
    };

    std::vector<Span>::const_iterator first_in_row(std::uint32_t y) const;

    std::vector<Span> spans_;
};

}  // namespace geojepa
