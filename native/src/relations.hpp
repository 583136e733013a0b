// The relations of the input, and the geometry of the ways that are their members.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "reader.hpp"
#include "tags.hpp"

namespace geojepa {

/// A relation with texts of its own.
struct Relation {
    struct OwnMember {
        schema::OsmType type;
        std::int64_t ref;
        std::string role;
    };

    std::int64_t id;
    std::uint32_t version;
    std::uint64_t sequence;
    bool deleted;
    std::vector<std::pair<std::string, std::string>> tags;
    std::vector<OwnMember> members;

    std::vector<Tag> tag_views() const;
};

/// All relations, each in its newest version, sorted by id.
class RelationTable {
public:
    void add(const Elements& elements);

    /// Keeps the newest version of each relation (of equal ones the last), and none that is deleted.
    void finish();

    std::span<const Relation> relations() const noexcept { return relations_; }
    bool contains(std::int64_t id) const;
    /// Whether a relation has this way as a member.
    bool uses_way(std::int64_t id) const;
    std::uint64_t superseded() const noexcept { return superseded_; }

private:
    std::vector<Relation> relations_;
    std::vector<std::int64_t> member_ways_;
    std::uint64_t superseded_ = 0;
};

/// The geometry of ways by id.
class MemberWays {
public:
    struct Way {
        std::int64_t id;
        bool area;
        /// Whether the input has all its nodes.
        bool complete;
        std::size_t first, last;
    };

    void add(std::int64_t id, bool area, bool complete, std::span<const Position> positions);
    void append(const MemberWays& other);
    void finish();

    const Way* find(std::int64_t id) const;
    std::span<const Position> positions(const Way& way) const {
        return std::span{positions_}.subspan(way.first, way.last - way.first);
    }

private:
    std::vector<Way> ways_;
    std::vector<Position> positions_;
};

}  // namespace geojepa
