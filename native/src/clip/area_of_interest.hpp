// The tiles that a run writes: those of a box, of polygons, or all.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "clip/grid.hpp"
#include "clip/tile_set.hpp"

namespace geojepa {

struct AreaOfInterest {
    /// A rectangle around all tiles of interest.
    TileWindow window;
    /// The tiles of interest within the window; all of them where empty.
    std::optional<TileSet> only;
};

/// The area that `--bbox` (west, south, east, north in degrees) or `--polygon` (path of a file) selects, else all
/// tiles. Throws UsageError where both are given or the box is invalid, InputError where the file is unusable.
AreaOfInterest area_of_interest(const Grid& grid, const std::optional<std::array<double, 4>>& bbox,
                                const std::string& polygon);

}  // namespace geojepa
