// Clips areas to tiles.
#pragma once

#include <vector>

#include "clip/grid.hpp"
#include "clip/shape.hpp"

namespace geojepa {

/// Appends the part of `polygon` in each tile of `window` to `out`: oriented polygons of positive area, or a covered
/// tile. The area is split in halves until each piece lies in one tile, so the time grows with its vertices times the
/// logarithm of its tiles. Returns false where GEOS had to split.
bool clip_area(const Grid& grid, const TileWindow& window, const Polygon& polygon, TiledParts& out);

}  // namespace geojepa
