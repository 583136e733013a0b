// Nodes take precedence over positions that stand elsewhere.
#include "read/locator.hpp"

#include <algorithm>

namespace geojepa {
namespace {

constexpr std::size_t min_area_refs = 4;

}  // namespace

std::optional<Position> Locator::node(std::int64_t id) {
    const std::optional<Position> position = cursor_.find(id);
    return position ? position : inline_cursor_.find(id);
}

std::uint32_t Locator::way(std::int64_t id, std::span<const std::int64_t> refs, std::vector<Position>& positions) {
    positions.clear();
    for (const std::int64_t ref : refs) {
        if (const std::optional<Position> position = node(ref)) {
            positions.push_back(*position);
        }
    }
    const std::size_t found = positions.size();
    if (found == refs.size() && found > 0) {
        return 0;
    }
    const MemberWay* shape = inline_->find(id);
    if (shape == nullptr || shape->last - shape->first <= found) {
        return static_cast<std::uint32_t>(refs.size() - found);
    }
    const std::span<const Position> given = inline_->positions(*shape);
    positions.assign(given.begin(), given.end());
    const std::size_t absent = refs.size() - std::min(refs.size(), positions.size());
    return shape->complete ? 0 : static_cast<std::uint32_t>(std::max<std::size_t>(absent, 1));
}

const MemberWay* Locator::member(std::int64_t way, std::span<const Position>& positions) const {
    if (const MemberWay* member = member_ways_->find(way)) {
        positions = member_ways_->positions(*member);
        return member;
    }
    const MemberWay* shape = inline_->find(way);
    if (shape != nullptr) {
        positions = inline_->positions(*shape);
    }
    return shape;
}

std::uint32_t Locator::absent_members(const Relation& relation) {
    const auto is_there = [&](const Member& member) {
        switch (member.type) {
            case schema::OsmType::node:
                return node(member.ref).has_value();
            case schema::OsmType::way:
                return member_ways_->find(member.ref) != nullptr || inline_->find(member.ref) != nullptr;
            case schema::OsmType::relation:
                return relations_->contains(member.ref);
        }
        return false;
    };
    return static_cast<std::uint32_t>(std::count_if(relation.members.begin(), relation.members.end(),
                                                    [&](const Member& member) { return !is_there(member); }));
}

bool is_closed(std::span<const std::int64_t> refs, std::span<const Position> positions) {
    if (!refs.empty() && refs.front() != 0) {
        return refs.size() >= min_area_refs && refs.front() == refs.back();
    }
    return positions.size() >= min_area_refs && positions.front() == positions.back();
}

}  // namespace geojepa
