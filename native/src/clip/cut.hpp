// Elements in, objects and their pieces out: what a worker does with a batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "clip/grid.hpp"
#include "clip/pieces.hpp"
#include "clip/shape.hpp"
#include "clip/tile_set.hpp"
#include "read/duplicates.hpp"
#include "read/inline_positions.hpp"
#include "read/locations.hpp"
#include "read/reader.hpp"
#include "read/relations.hpp"
#include "read/tags.hpp"

namespace geojepa {

/// Why something was left out or changed, and how often.
using Reasons = std::map<std::string, std::uint64_t>;

/// An object to be stored. Ranges are those of its CutResult.
struct CutObject {
    schema::OsmType type;
    std::int64_t id;
    std::uint32_t version;
    schema::Kind kind;
    schema::Token token;
    std::uint32_t absent_members;
    std::size_t first_tag, last_tag;
    std::size_t first_member, last_member;
    std::size_t pieces;   // records
    std::size_t covered;  // rectangles of covered tiles
};

struct CutResult {
    std::vector<CutObject> objects;
    std::vector<Tag> tags;
    std::vector<Member> members;
    PieceBatch pieces;  // in the order of the objects
    MemberWayBatch member_ways;
    Reasons dropped;
    Reasons repaired;
    std::uint64_t dropped_tags = 0;
    /// Ways and relations of which the input gives the centre only.
    std::uint64_t centre_only = 0;
    /// Keeps alive what the tags' texts point into.
    std::vector<Batch> texts;

    /// What grows with the tiles that objects meet; the rest is of the size of the batch.
    std::uint64_t bytes() const noexcept {
        return pieces.bytes.capacity() + pieces.first_bytes.capacity() * sizeof(std::size_t) +
               pieces.covered.capacity() * sizeof(CoveredTiles);
    }
};

/// What all workers read and none writes.
struct CutContext {
    const Grid* grid;
    TileWindow window;
    /// Tiles of interest within the window; null where all of them are.
    const TileSet* only;
    const TagFilter* filter;
    const LocationIndex* locations;
    /// Positions that stand elsewhere than on nodes.
    const InlinePositions* inline_positions;
    const RelationTable* relations;
    const MemberWays* member_ways;
    const Superseded* superseded;
};

class Cutter {
public:
    explicit Cutter(const CutContext& context);

    CutResult nodes(const Batch& batch);
    CutResult ways(const Batch& batch);
    /// Rows [first, last) of the table of relations.
    CutResult relations(std::size_t first, std::size_t last);

private:
    void cut_node(const Element& node, const std::vector<Tag>& tags, CutResult& out);
    void cut_way(const Element& way, const std::vector<Tag>& tags, std::span<const std::int64_t> refs, CutResult& out);
    void cut_relation(const Relation& relation, CutResult& out);

    /// Each adds parts to `parts_`; false where there was nothing to add.
    bool add_line(std::span<const Position> positions, CutResult& out);
    bool add_area(std::span<const Position> positions, CutResult& out);
    bool add_multipolygon(const Relation& relation, CutResult& out);
    bool add_members(const Relation& relation, CutResult& out);

    void add_polygons(std::vector<Polygon> polygons, bool turned, CutResult& out);
    /// Leaves what lies in the area of interest.
    void restrict_parts();

    std::optional<Position> position_of(std::int64_t node);
    const MemberWay* shape_of(std::int64_t way, std::span<const Position>& positions) const;
    std::uint32_t locate(std::int64_t way, std::span<const std::int64_t> refs);
    std::uint32_t absent_members(const Relation& relation);
    bool add_kept_tags(const std::vector<Tag>& tags, CutResult& out) const;
    void store(CutObject object, std::size_t first_tag, CutResult& out);

    CutContext context_;
    LocationIndex::Cursor cursor_;
    LocationIndex::Cursor inline_cursor_;
    PieceBuilder builder_;
    TiledParts parts_;
    std::vector<Position> positions_;
};

}  // namespace geojepa
