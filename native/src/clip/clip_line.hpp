// Clips lines to tiles.
#pragma once

#include <cstdint>
#include <span>

#include "clip/grid.hpp"
#include "clip/shape.hpp"

namespace geojepa {

struct LineClip {
    /// Whether the length of the line is not 0.
    bool has_length = false;
    /// Number of segments longer than 180 degrees of longitude. They cross the antimeridian and are cut there.
    std::uint32_t antimeridian_segments = 0;
};

/// Appends the parts of a line to `out`, in the order of the line: one for each stretch of positive length in the
/// interior of a tile of `window`. The last part of a closed line is joined to its first where both meet in one tile.
LineClip clip_line(const Grid& grid, const TileWindow& window, std::span<const Position> line, TiledParts& out);

}  // namespace geojepa
