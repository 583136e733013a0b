// Areas cut at the edges of tiles.
#pragma once

#include <vector>

#include "clip/grid.hpp"
#include "clip/shape.hpp"

namespace geojepa {

/// Adds to `out` what of `polygon` lies in each tile of `window`: oriented polygons of positive area, or a covered
/// tile. The area is cut in halves until a piece lies in one tile, so that a large area costs its vertices times
/// the logarithm of its tiles. Returns false where GEOS had to help.
bool clip_area(const Grid& grid, const TileWindow& window, const Polygon& polygon, TiledParts& out);

}  // namespace geojepa
