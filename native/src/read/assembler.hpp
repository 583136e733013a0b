// Multipolygons assembled from their member ways, by libosmium.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "clip/grid.hpp"
#include "clip/shape.hpp"

namespace geojepa {

struct MemberLine {
    std::span<const Position> positions;
    std::string_view role;
};

/// Assembles the polygons that the lines bound. Returns none where rings are open, cross or overlap.
std::vector<Polygon> assemble(const std::vector<MemberLine>& lines);

}  // namespace geojepa
