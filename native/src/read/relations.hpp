// The relations of the input, and the geometry of the ways that are their members.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "read/duplicates.hpp"
#include "read/long_array.hpp"
#include "read/reader.hpp"
#include "read/tags.hpp"

namespace geojepa {

/// A relation; its texts are the table's.
struct Relation {
    std::int64_t id;
    std::uint32_t version;
    /// Whether the input gives a centre, as Overpass's `out center` does.
    bool centred;
    std::vector<Tag> tags;
    std::vector<Member> members;
};

/// All relations sorted by id, each in the copy that CopyRank puts last.
class RelationTable {
public:
    explicit RelationTable(ArrayMemory& arrays)
        : rows_(arrays), tags_(arrays), members_(arrays), text_(arrays), member_ways_(arrays) {}

    void add(const Elements& elements);

    /// Keeps one copy of each relation, and none that is marked as deleted. Where the kept copy has no members, it gets
    /// those of another copy of its version.
    void finish();

    std::size_t size() const noexcept { return rows_.size(); }
    Relation at(std::size_t i) const;
    std::size_t members_of(std::size_t i) const { return rows_[i].members; }
    bool contains(std::int64_t id) const;
    /// Whether a relation has this way as a member.
    bool uses_way(std::int64_t id) const;
    std::uint64_t superseded() const noexcept { return superseded_; }
    std::uint64_t deleted() const noexcept { return deleted_; }

private:
    struct Row {
        std::int64_t id;
        std::uint64_t sequence;
        std::uint64_t first_tag;
        std::uint64_t first_member;
        std::uint32_t tags;
        std::uint32_t members;
        std::uint32_t version;
        bool deleted;
        bool centred;
    };
    struct TagText {
        std::uint64_t first;  // of the key, which the value follows
        std::uint32_t key_bytes;
        std::uint32_t value_bytes;
    };
    struct MemberText {
        std::int64_t ref;
        std::uint64_t role;
        std::uint32_t role_bytes;
        schema::OsmType type;
    };

    static CopyRank rank_of(const Row& row);
    /// The copies of one relation as one row, the kept copy being the last.
    static Row merge(std::span<const Row> copies);
    std::uint64_t store(std::string_view text);

    LongArray<Row> rows_;
    LongArray<TagText> tags_;
    LongArray<MemberText> members_;
    LongArray<char> text_;
    LongArray<std::int64_t> member_ways_;
    std::uint64_t superseded_ = 0;
    std::uint64_t deleted_ = 0;
};

struct MemberWay {
    std::int64_t id;
    std::uint64_t first, last;
    bool area;
    /// Whether all its nodes have a position.
    bool complete;
};

/// Member ways that one worker found.
struct MemberWayBatch {
    std::vector<MemberWay> ways;
    std::vector<Position> positions;

    void add(std::int64_t id, bool area, bool complete, std::span<const Position> way);
};

/// The geometry of ways by id.
class MemberWays {
public:
    explicit MemberWays(ArrayMemory& arrays) : ways_(arrays), positions_(arrays) {}

    void append(const MemberWayBatch& batch);
    /// Sorts by id. Of ways with one id a complete one stays, and the first of these.
    void finish();

    /// Null where there is none.
    const MemberWay* find(std::int64_t id) const;
    std::span<const Position> positions(const MemberWay& way) const { return positions_.view(way.first, way.last); }

private:
    LongArray<MemberWay> ways_;
    LongArray<Position> positions_;
};

}  // namespace geojepa
