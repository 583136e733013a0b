// Lines cut at the edges of tiles.
#pragma once

#include <cstdint>
#include <span>

#include "clip/grid.hpp"
#include "clip/shape.hpp"

namespace geojepa {

struct LineClip {
    /// Whether the line has any length.
    bool has_length = false;
    /// Segments longer than 180 degrees of longitude: they cross the antimeridian, and are cut there.
    std::uint32_t antimeridian_segments = 0;
};

/// Adds the parts of a line to `out`, in the order of the line: one for each stretch of positive length inside an
/// open tile of `window`. A closed line's last part is joined to its first where both meet in one tile.
LineClip clip_line(const Grid& grid, const TileWindow& window, std::span<const Position> line, TiledParts& out);

}  // namespace geojepa
