// Tables sorted by id.
#include "relations.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace geojepa {

std::vector<Tag> Relation::tag_views() const {
    std::vector<Tag> views;
    views.reserve(tags.size());
    for (const auto& [key, value] : tags) {
        views.push_back({key, value});
    }
    return views;
}

void RelationTable::add(const Elements& elements) {
    for (const Element& element : elements.rows) {
        Relation relation{element.id, element.version, element.sequence, element.deleted, {}, {}};
        for (const Tag& tag : elements.tags_of(element)) {
            relation.tags.emplace_back(tag.key, tag.value);
        }
        for (const Member& member : elements.members_of(element)) {
            relation.members.push_back({member.type, member.ref, std::string{member.role}});
        }
        relations_.push_back(std::move(relation));
    }
}

void RelationTable::finish() {
    const auto newest_last = [](const Relation& a, const Relation& b) {
        return std::tie(a.id, a.version, a.sequence) < std::tie(b.id, b.version, b.sequence);
    };
    std::sort(relations_.begin(), relations_.end(), newest_last);
    std::vector<Relation> newest;
    for (Relation& relation : relations_) {
        if (!newest.empty() && newest.back().id == relation.id) {
            newest.back() = std::move(relation);
            ++superseded_;
        } else {
            newest.push_back(std::move(relation));
        }
    }
    std::erase_if(newest, [](const Relation& relation) { return relation.deleted; });
    relations_ = std::move(newest);
    for (const Relation& relation : relations_) {
        for (const Relation::OwnMember& member : relation.members) {
            if (member.type == schema::OsmType::way) {
                member_ways_.push_back(member.ref);
            }
        }
    }
    std::sort(member_ways_.begin(), member_ways_.end());
    member_ways_.erase(std::unique(member_ways_.begin(), member_ways_.end()), member_ways_.end());
}

bool RelationTable::contains(std::int64_t id) const {
    const auto found = std::lower_bound(relations_.begin(), relations_.end(), id,
                                        [](const Relation& relation, std::int64_t key) { return relation.id < key; });
    return found != relations_.end() && found->id == id;
}

bool RelationTable::uses_way(std::int64_t id) const {
    return std::binary_search(member_ways_.begin(), member_ways_.end(), id);
}

void MemberWays::add(std::int64_t id, bool area, bool complete, std::span<const Position> positions) {
    const std::size_t first = positions_.size();
    positions_.insert(positions_.end(), positions.begin(), positions.end());
    ways_.push_back({id, area, complete, first, positions_.size()});
}

void MemberWays::append(const MemberWays& other) {
    for (const Way& way : other.ways_) {
        add(way.id, way.area, way.complete, other.positions(way));
    }
}

void MemberWays::finish() {
    std::sort(ways_.begin(), ways_.end(), [](const Way& a, const Way& b) { return a.id < b.id; });
}

const MemberWays::Way* MemberWays::find(std::int64_t id) const {
    const auto found =
        std::lower_bound(ways_.begin(), ways_.end(), id, [](const Way& way, std::int64_t key) { return way.id < key; });
    return found != ways_.end() && found->id == id ? &*found : nullptr;
}

}  // namespace geojepa
