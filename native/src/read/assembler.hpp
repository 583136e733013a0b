// Multipolygon relations put together from their member ways, by libosmium's assembler.
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

/// The polygons that the lines bound; empty where they bound none: rings that are open, cross or overlap.
std::vector<Polygon> assemble(const std::vector<MemberLine>& lines);

}  // namespace geojepa
