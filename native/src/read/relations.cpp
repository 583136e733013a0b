// Tables sorted by id.
#include "read/relations.hpp"

#include <algorithm>
#include <tuple>

namespace geojepa {
namespace {

template <typename T>
void sort_by_id(LongArray<T>& rows) {
    const auto by_id = [](const T& a, const T& b) { return a.id < b.id; };
    if (!std::is_sorted(rows.begin(), rows.end(), by_id)) {
        std::sort(rows.begin(), rows.end(), by_id);
    }
}

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
        rows_.push_back({element.id, element.sequence, tags_.size(), members_.size(),
                         static_cast<std::uint32_t>(element.last_tag - element.first_tag),
                         static_cast<std::uint32_t>(element.last_ref - element.first_ref), element.version,
                         element.deleted});
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

void RelationTable::finish() {
    const auto newest_last = [](const Row& a, const Row& b) {
        return std::tie(a.id, a.version, a.sequence) < std::tie(b.id, b.version, b.sequence);
    };
    std::sort(rows_.begin(), rows_.end(), newest_last);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
        if (i + 1 < rows_.size() && rows_[i + 1].id == rows_[i].id) {
            ++superseded_;
        } else if (!rows_[i].deleted) {
            rows_[kept++] = rows_[i];
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
    Relation relation{row.id, row.version, {}, {}};
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
    sort_by_id(ways_);
}

const MemberWay* MemberWays::find(std::int64_t id) const {
    return find_by_id(ways_, id);
}

}  // namespace geojepa
