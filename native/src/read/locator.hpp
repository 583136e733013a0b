// Positions of nodes, ways and members, wherever in the inputs they stand.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "read/inline_positions.hpp"
#include "read/locations.hpp"
#include "read/relations.hpp"

namespace geojepa {

/// Looks up positions in the tables of a run. Used by one thread.
class Locator {
public:
    Locator(const LocationIndex& nodes, const InlinePositions& inline_positions, const MemberWays& member_ways,
            const RelationTable& relations)
        : inline_(&inline_positions),
          member_ways_(&member_ways),
          relations_(&relations),
          cursor_(nodes),
          inline_cursor_(inline_positions.nodes()) {}

    /// The position of a node: its own, else one that stands on a way or a member.
    std::optional<Position> node(std::int64_t id);

    /// Puts the positions of a way into `positions`, and leaves out those that the inputs lack. Returns their number.
    std::uint32_t way(std::int64_t id, std::span<const std::int64_t> refs, std::vector<Position>& positions);

    /// A member way that is in the inputs, or that a relation gives with its positions; null where there is neither.
    const MemberWay* member(std::int64_t way, std::span<const Position>& positions) const;

    /// The number of members that the inputs lack.
    std::uint32_t absent_members(const Relation& relation);

private:
    const InlinePositions* inline_;
    const MemberWays* member_ways_;
    const RelationTable* relations_;
    LocationIndex::Cursor cursor_;
    LocationIndex::Cursor inline_cursor_;
};

/// Whether a way of four or more references ends at its first node: by their ids, or, where they have none, by their
/// positions.
bool is_closed(std::span<const std::int64_t> refs, std::span<const Position> positions);

}  // namespace geojepa
