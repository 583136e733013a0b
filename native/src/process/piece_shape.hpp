// The vertices of one piece, part by part: the input of simplification, boxes and visibility.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "clip/enu.hpp"
#include "columns/schema.hpp"
#include "process/lattice.hpp"

namespace geojepa {

struct PieceShape {
    std::vector<schema::Role> roles;           ///< one per part
    std::vector<std::uint32_t> part_begin{0};  ///< first vertex of each part, then the number of vertices
    std::vector<EastNorth> metres;             ///< vertices in the tile's plane
    std::vector<LatticePoint> lattice;         ///< the same vertices as they are stored
    std::vector<std::uint8_t> fixed;           ///< 1 for a vertex that simplification must keep
    bool one_area = false;                     ///< all rings belong to one multipolygon, so none may cross another

    std::size_t part_count() const { return roles.size(); }
    std::size_t node_count() const { return lattice.size(); }
    bool is_ring(std::size_t part) const {
        return roles[part] == schema::Role::outer || roles[part] == schema::Role::inner;
    }
    void clear() {
        roles.clear();
        part_begin.assign(1, 0);
        metres.clear();
        lattice.clear();
        fixed.clear();
        one_area = false;
    }
};

}  // namespace geojepa
