// Turns the elements of a batch into objects and their pieces. Runs in the worker threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
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
#include "read/locator.hpp"
#include "read/reader.hpp"
#include "read/relations.hpp"
#include "read/tags.hpp"

namespace geojepa {

/// Reasons why elements were left out or changed, with counts.
using Reasons = std::map<std::string, std::uint64_t>;

/// An object to be stored. Its tags and members are ranges [first, last) of its CutResult.
struct CutObject {
    schema::OsmType type = schema::OsmType::node;
    std::int64_t id = 0;
    std::uint32_t version = 0;
    schema::Kind kind = schema::Kind::point;
    schema::Token token = schema::Token::entity;
    std::uint32_t absent_members = 0;
    std::size_t first_tag = 0;
    std::size_t last_tag = 0;
    std::size_t first_member = 0;
    std::size_t last_member = 0;
    std::size_t pieces = 0;   ///< number of records
    std::size_t covered = 0;  ///< number of windows of covered tiles
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
    /// Number of ways and relations for which the input gives only the centre.
    std::uint64_t centre_only = 0;
    /// The batches that own the texts of the tags.
    std::vector<Batch> texts;

    /// Memory that grows with the number of tiles that objects meet. The rest is limited by the size of the batch.
    std::uint64_t bytes() const noexcept {
        return pieces.bytes.capacity() + pieces.first_bytes.capacity() * sizeof(std::size_t) +
               pieces.covered.capacity() * sizeof(CoveredTiles);
    }
};

/// Data that all workers read and none writes.
struct CutContext {
    const Grid* grid = nullptr;
    TileWindow window;
    /// The tiles of interest within the window; all of them where null.
    const TileSet* only = nullptr;
    const TagFilter* filter = nullptr;
    const LocationIndex* locations = nullptr;
    /// Positions that the input gives on ways and members instead of nodes.
    const InlinePositions* inline_positions = nullptr;
    const RelationTable* relations = nullptr;
    const MemberWays* member_ways = nullptr;
    const Superseded* superseded = nullptr;
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

    /// Each of these adds parts to `parts_`. Returns false where the geometry is empty or cannot be built.
    bool add_line(std::span<const Position> positions, CutResult& out);
    bool add_area(std::span<const Position> positions, CutResult& out);
    bool add_multipolygon(const Relation& relation, CutResult& out);
    bool add_members(const Relation& relation, CutResult& out);

    void add_polygons(std::vector<Polygon> polygons, bool turned, CutResult& out);
    /// Removes what lies outside the area of interest.
    void restrict_parts();

    bool add_kept_tags(const std::vector<Tag>& tags, CutResult& out) const;
    void store(CutObject object, std::size_t first_tag, CutResult& out);

    CutContext context_;
    Locator locator_;
    PieceBuilder builder_;
    TiledParts parts_;
    std::vector<Position> positions_;
};

}  // namespace geojepa
