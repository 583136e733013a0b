// Tables sorted by id.
#include "read/relations.hpp"

#include <algorithm>
#include <tuple>

namespace geojepa {
namespace {

template <typename T>
const T* find_by_id(const LongArray<T>& rows, std::int64_t id) {
    const T* found =
        std::lower_bound(rows.begin(), rows.end(), id, [](const T& row, std::int64_t key) { return row.id < key; });
    return found != rows.end() && found->id == id ? found : nullptr;
}

}  // namespace

std::uint64_t RelationTable::store(std::string_view text) {
    text_.append(text);
    return text_.size() - text.size();
}

void RelationTable::add(const Elements& elements) {
    for (const Element& element : elements.rows) {
        rows_.push_back({.id = element.id,
                         .sequence = element.sequence,
                         .first_tag = tags_.size(),
                         .first_member = members_.size(),
                         .tags = static_cast<std::uint32_t>(element.last_tag - element.first_tag),
                         .members = static_cast<std::uint32_t>(element.last_ref - element.first_ref),
                         .version = element.version,
                         .deleted = element.deleted,
                         .centred = element.centred});
        for (const Tag& tag : elements.tags_of(element)) {
            const std::uint64_t first = store(tag.key);
            (void)store(tag.value);
            tags_.push_back(
                {first, static_cast<std::uint32_t>(tag.key.size()), static_cast<std::uint32_t>(tag.value.size())});
        }
        for (const Member& member : elements.members_of(element)) {
            members_.push_back(
                {member.ref, store(member.role), static_cast<std::uint32_t>(member.role.size()), member.type});
        }
    }
}

CopyRank RelationTable::rank_of(const Row& row) {
    return {row.version, row.deleted, row.tags > 0, row.members > 0, row.sequence};
}

RelationTable::Row RelationTable::merge(std::span<const Row> copies) {
    Row kept = copies.back();
    for (const Row& copy : copies) {
        if (kept.members == 0 && !kept.deleted && !copy.deleted && copy.members > 0 && copy.version == kept.version) {
            kept.first_member = copy.first_member;
            kept.members = copy.members;
        }
    }
    return kept;
}

void RelationTable::finish() {
    std::sort(rows_.begin(), rows_.end(),
              [](const Row& a, const Row& b) { return a.id != b.id ? a.id < b.id : rank_of(a) < rank_of(b); });
    std::size_t kept = 0;
    for (std::size_t first = 0, last = 0; first < rows_.size(); first = last) {
        while (last < rows_.size() && rows_[last].id == rows_[first].id) {
            ++last;
        }
        const Row row = merge(rows_.view(first, last));
        superseded_ += last - first - 1;
        deleted_ += row.deleted ? 1 : 0;
        if (!row.deleted) {
            rows_[kept++] = row;
        }
    }
    rows_.resize(kept);
    for (const Row& row : rows_.view()) {
        for (const MemberText& member : members_.view(row.first_member, row.first_member + row.members)) {
            if (member.type == schema::OsmType::way) {
                member_ways_.push_back(member.ref);
            }
        }
    }
    std::sort(member_ways_.begin(), member_ways_.end());
    const auto* last = std::unique(member_ways_.begin(), member_ways_.end());
    member_ways_.resize(static_cast<std::size_t>(last - member_ways_.begin()));
}

Relation RelationTable::at(std::size_t i) const {
    const Row& row = rows_[i];
    Relation relation{row.id, row.version, row.centred, {}, {}};
    for (const TagText& tag : tags_.view(row.first_tag, row.first_tag + row.tags)) {
        const char* text = text_.begin() + tag.first;
        relation.tags.push_back({{text, tag.key_bytes}, {text + tag.key_bytes, tag.value_bytes}});
    }
    for (const MemberText& member : members_.view(row.first_member, row.first_member + row.members)) {
        relation.members.push_back({member.type, member.ref, {text_.begin() + member.role, member.role_bytes}});
    }
    return relation;
}

bool RelationTable::contains(std::int64_t id) const {
    return find_by_id(rows_, id) != nullptr;
}

bool RelationTable::uses_way(std::int64_t id) const {
    return std::binary_search(member_ways_.begin(), member_ways_.end(), id);
}

void MemberWayBatch::add(std::int64_t id, bool area, bool complete, std::span<const Position> way) {
    ways.push_back({id, positions.size(), positions.size() + way.size(), area, complete});
    positions.insert(positions.end(), way.begin(), way.end());
}

void MemberWays::append(const MemberWayBatch& batch) {
    const std::uint64_t base = positions_.size();
    for (const MemberWay& way : batch.ways) {
        ways_.push_back({way.id, base + way.first, base + way.last, way.area, way.complete});
    }
    positions_.append(batch.positions);
}

void MemberWays::finish() {
    std::sort(ways_.begin(), ways_.end(), [](const MemberWay& a, const MemberWay& b) {
        return std::tuple{a.id, !a.complete, a.first} < std::tuple{b.id, !b.complete, b.first};
    });
    const MemberWay* last =
        std::unique(ways_.begin(), ways_.end(), [](const MemberWay& a, const MemberWay& b) { return a.id == b.id; });
    ways_.resize(static_cast<std::size_t>(last - ways_.begin()));
}

const MemberWay* MemberWays::find(std::int64_t id) const {
    return find_by_id(ways_, id);
}

}  // namespace geojepa
