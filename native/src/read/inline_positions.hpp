// Positions that stand on ways and on members of relations instead of on nodes: Overpass's `out geom`, and osmium's
// add-locations-to-ways.
#pragma once

#include <cstdint>
#include <span>

#include "read/locations.hpp"
#include "read/long_array.hpp"
#include "read/relations.hpp"

namespace geojepa {

/// Filled first, then frozen (`finish`), then searched by any number of threads. A node of the inputs with a position
/// takes precedence over what is found here.
class InlinePositions {
public:
    explicit InlinePositions(ArrayMemory& arrays) : nodes_(arrays), ways_(arrays) {}

    /// Takes the positions of members. The way of a member is a line: its tags are unknown.
    void add_members(const Elements& relations);

    /// Takes the positions of a way's references; where they have no ids (`out tags geom`), as the way's shape.
    void add_way(std::int64_t id, std::span<const std::int64_t> refs, std::span<const Position> positions);

    /// Takes the shape of a way whose kept copy has no references.
    void add_shape(std::int64_t id, std::span<const Position> positions);

    void finish();

    const LocationIndex& nodes() const noexcept { return nodes_; }
    /// The shape of a way; null where there is none.
    const MemberWay* find(std::int64_t way) const { return ways_.find(way); }
    std::span<const Position> positions(const MemberWay& way) const { return ways_.positions(way); }

private:
    LocationIndex nodes_;
    MemberWays ways_;
    MemberWayBatch batch_;
};

}  // namespace geojepa
