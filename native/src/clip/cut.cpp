// One function for each type of element; what they share is below them.
#include "clip/cut.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <utility>

#include "clip/clip_area.hpp"
#include "clip/clip_line.hpp"
#include "clip/repair.hpp"
#include "read/antimeridian.hpp"
#include "read/areas.hpp"
#include "read/assembler.hpp"

namespace geojepa {
namespace {

constexpr std::size_t least_area_refs = 4;

bool is_superseded(const LongArray<std::uint64_t>& sequences, std::uint64_t sequence) {
    return std::binary_search(sequences.begin(), sequences.end(), sequence);
}

/// Whether a way ends where it begins, by its references, or by its positions where they have no ids.
bool is_closed(std::span<const std::int64_t> refs, std::span<const Position> positions) {
    if (!refs.empty() && refs.front() != 0) {
        return refs.size() >= least_area_refs && refs.front() == refs.back();
    }
    return positions.size() >= least_area_refs && positions.front() == positions.back();
}

/// Polygons of the globe turned by half; none where a line goes around a pole.
std::vector<Polygon> assemble_turned(const std::vector<MemberLine>& lines) {
    std::vector<std::vector<Position>> turned;
    std::vector<MemberLine> turned_lines;
    for (const MemberLine& line : lines) {
        turned.push_back(turn_by_half(line.positions));
        if (crosses_antimeridian(turned.back())) {
            return {};
        }
        turned_lines.push_back({turned.back(), line.role});
    }
    return assemble(turned_lines);
}

}  // namespace

Cutter::Cutter(const CutContext& context)
    : context_(context),
      cursor_(*context.locations),
      inline_cursor_(context.inline_positions->nodes()),
      builder_(*context.grid) {}

CutResult Cutter::nodes(const Batch& batch) {
    CutResult out;
    out.texts.push_back(batch);
    const Elements elements = batch.unpack(schema::OsmType::node);
    for (const Element& node : elements.rows) {
        if ((node.first_tag == node.last_tag && !node.deleted) ||
            is_superseded(context_.superseded->nodes, node.sequence)) {
            continue;
        }
        if (node.deleted) {
            ++out.dropped["node marked as deleted"];
        } else {
            cut_node(node, elements.tags_of(node), out);
        }
    }
    return out;
}

CutResult Cutter::ways(const Batch& batch) {
    CutResult out;
    out.texts.push_back(batch);
    const Elements elements = batch.unpack(schema::OsmType::way);
    for (const Element& way : elements.rows) {
        if (is_superseded(context_.superseded->ways, way.sequence)) {
            continue;
        }
        if (way.deleted) {
            ++out.dropped["way marked as deleted"];
        } else {
            cut_way(way, elements.tags_of(way), elements.refs_of(way), out);
        }
    }
    return out;
}

CutResult Cutter::relations(std::size_t first, std::size_t last) {
    CutResult out;
    for (std::size_t i = first; i < last; ++i) {
        cut_relation(context_.relations->at(i), out);
    }
    return out;
}

void Cutter::cut_node(const Element& node, const std::vector<Tag>& tags, CutResult& out) {
    const std::size_t first_tag = out.tags.size();
    if (!add_kept_tags(tags, out)) {
        return;
    }
    parts_.clear();
    const std::optional<Position> position =
        node.located ? node.position : LocationIndex::Cursor{context_.superseded->positions}.find(node.id);
    const Position place = position.value_or(Position{});
    const Point point{static_cast<double>(place.lon), static_cast<double>(place.lat)};
    if (!position) {
        ++out.dropped["node without a position on the globe"];
    } else if (!context_.grid->covers_latitude(point.lat)) {
        ++out.dropped["node beyond the tile grid"];
    } else {
        const TileIndex tile{context_.grid->column(point.lon), context_.grid->row(point.lat)};
        if (context_.window.contains(tile)) {
            parts_.open(tile, schema::Role::point);
            parts_.push(point);
        }
    }
    store(
        {schema::OsmType::node, node.id, node.version, schema::Kind::point, schema::Token::entity, 0, 0, 0, 0, 0, 0, 0},
        first_tag, out);
}

void Cutter::cut_way(const Element& way, const std::vector<Tag>& tags, std::span<const std::int64_t> refs,
                     CutResult& out) {
    const std::size_t first_tag = out.tags.size();
    const bool tagged = add_kept_tags(tags, out);
    const bool member = context_.relations->uses_way(way.id);
    if (!tagged && !member) {
        return;
    }
    const std::uint32_t absent = locate(way.id, refs);
    const bool area = is_closed(refs, positions_) && is_area(tags);
    if (member) {
        out.member_ways.add(way.id, area, absent == 0, positions_);
    }
    if (!tagged) {
        return;
    }
    parts_.clear();
    if (positions_.size() < 2) {
        ++(way.centred ? out.centre_only : out.dropped["way with fewer than two nodes in the input"]);
    } else if (area) {
        add_area(positions_, out);
    } else if (!add_line(positions_, out)) {
        ++out.dropped["line of no length"];
    }
    store({schema::OsmType::way, way.id, way.version, area ? schema::Kind::area : schema::Kind::line,
           area ? token_of_area(tags) : schema::Token::entity, absent, 0, 0, 0, 0, 0, 0},
          first_tag, out);
}

void Cutter::cut_relation(const Relation& relation, CutResult& out) {
    const std::vector<Tag>& tags = relation.tags;
    const std::size_t first_tag = out.tags.size();
    if (!add_kept_tags(tags, out)) {
        return;
    }
    CutObject object{schema::OsmType::relation,
                     relation.id,
                     relation.version,
                     schema::Kind::relation,
                     token_of_relation(tags),
                     absent_members(relation),
                     0,
                     0,
                     0,
                     0,
                     0,
                     0};
    parts_.clear();
    bool has_geometry = false;
    if (is_multipolygon(tags) && add_multipolygon(relation, out)) {
        object.kind = schema::Kind::area;
        has_geometry = true;
    } else {
        has_geometry = add_members(relation, out);
    }
    out.centre_only += relation.centred && !has_geometry ? 1 : 0;
    if (!has_geometry && object.token == schema::Token::entity) {
        object.token = schema::Token::restriction;
    }
    restrict_parts();
    const bool outside = has_geometry && parts_.empty();
    if (outside) {
        out.tags.resize(first_tag);
        return;
    }
    object.first_member = out.members.size();
    out.members.insert(out.members.end(), relation.members.begin(), relation.members.end());
    object.last_member = out.members.size();
    store(object, first_tag, out);
}

bool Cutter::add_line(std::span<const Position> positions, CutResult& out) {
    const LineClip clip = clip_line(*context_.grid, context_.window, positions, parts_);
    if (clip.antimeridian_segments > 0) {
        out.repaired["line segment across the antimeridian, cut there"] += clip.antimeridian_segments;
    }
    return clip.has_length;
}

bool Cutter::add_area(std::span<const Position> positions, CutResult& out) {
    std::vector<Position> ring{positions.begin(), positions.end()};
    const bool turned = crosses_antimeridian(ring);
    if (turned) {
        ring = turn_by_half(ring);
        if (crosses_antimeridian(ring)) {
            ++out.dropped["area around a pole"];
            return false;
        }
    }
    ring.erase(std::unique(ring.begin(), ring.end()), ring.end());
    while (ring.size() > 1 && ring.front() == ring.back()) {
        ring.pop_back();
    }
    std::vector<Polygon> polygons;
    if (is_simple(ring)) {
        polygons.push_back({{to_ring(ring)}});
        orient(polygons.front());
    } else {
        polygons = make_valid({to_ring(ring)});
        ++(polygons.empty() ? out.dropped["area of no extent"] : out.repaired["ring that touched or crossed itself"]);
    }
    const bool has_extent = !polygons.empty();
    add_polygons(std::move(polygons), turned, out);
    return has_extent;
}

/// Cuts polygons into tiles; first at the antimeridian, where they are those of the globe turned by half.
void Cutter::add_polygons(std::vector<Polygon> polygons, bool turned, CutResult& out) {
    if (turned && !polygons.empty()) {
        polygons = turn_back(polygons);
        ++out.repaired["area across the antimeridian, cut there"];
    }
    for (const Polygon& polygon : polygons) {
        if (!clip_area(*context_.grid, context_.window, polygon, parts_)) {
            ++out.repaired["polygon cut by GEOS"];
        }
    }
}

bool Cutter::add_multipolygon(const Relation& relation, CutResult& out) {
    std::vector<MemberLine> lines;
    std::set<std::int64_t> seen;
    bool absent = false;
    bool crosses = false;
    bool touches = false;
    for (const Member& member : relation.members) {
        if (member.type != schema::OsmType::way || !is_ring_role(member.role) || !seen.insert(member.ref).second) {
            continue;
        }
        std::span<const Position> positions;
        const MemberWay* way = shape_of(member.ref, positions);
        absent = absent || way == nullptr || !way->complete;
        if (positions.size() >= 2) {
            lines.push_back({positions, member.role});
            crosses = crosses || crosses_antimeridian(positions);
            touches = touches || touches_antimeridian(positions);
        }
    }
    std::vector<Polygon> polygons;
    if (!crosses) {
        polygons = lines.empty() ? std::vector<Polygon>{} : assemble(lines);
    }
    const bool turned = polygons.empty() && (crosses || touches);
    if (turned) {
        polygons = assemble_turned(lines);
    }
    if (polygons.empty()) {
        ++out.repaired[absent ? "multipolygon with absent members or nodes, kept as its members"
                              : "multipolygon with broken rings, kept as its members"];
        return false;
    }
    add_polygons(std::move(polygons), turned, out);
    return true;
}

bool Cutter::add_members(const Relation& relation, CutResult& out) {
    bool found = false;
    std::set<std::pair<schema::OsmType, std::int64_t>> seen;
    for (const Member& member : relation.members) {
        if (!seen.emplace(member.type, member.ref).second) {
            continue;  // a route that uses a road twice has it once
        }
        if (member.type == schema::OsmType::node) {
            const std::optional<Position> position = position_of(member.ref);
            if (position && context_.grid->covers_latitude(position->lat)) {
                const TileIndex tile{context_.grid->column(position->lon), context_.grid->row(position->lat)};
                found = true;
                if (context_.window.contains(tile)) {
                    parts_.open(tile, schema::Role::point);
                    parts_.push({static_cast<double>(position->lon), static_cast<double>(position->lat)});
                }
            }
        } else if (member.type == schema::OsmType::way) {
            std::span<const Position> positions;
            const MemberWay* way = shape_of(member.ref, positions);
            if (way != nullptr) {
                found = (way->area ? add_area(positions, out) : add_line(positions, out)) || found;
            }
        }
    }
    parts_.outline_covered();
    return found;
}

void Cutter::restrict_parts() {
    if (context_.only != nullptr) {
        context_.only->restrict(parts_);
    }
}

std::optional<Position> Cutter::position_of(std::int64_t node) {
    const std::optional<Position> position = cursor_.find(node);
    return position ? position : inline_cursor_.find(node);
}

/// A way that is in the inputs, or that a relation gives with its positions; null where there is neither.
const MemberWay* Cutter::shape_of(std::int64_t way, std::span<const Position>& positions) const {
    if (const MemberWay* member = context_.member_ways->find(way)) {
        positions = context_.member_ways->positions(*member);
        return member;
    }
    const MemberWay* shape = context_.inline_positions->find(way);
    if (shape != nullptr) {
        positions = context_.inline_positions->positions(*shape);
    }
    return shape;
}

/// Puts the way's positions into `positions_`; returns the number of references that have none.
std::uint32_t Cutter::locate(std::int64_t way, std::span<const std::int64_t> refs) {
    positions_.clear();
    for (const std::int64_t ref : refs) {
        if (const std::optional<Position> position = position_of(ref)) {
            positions_.push_back(*position);
        }
    }
    const std::size_t found = positions_.size();
    if (found == refs.size() && found > 0) {
        return 0;
    }
    const MemberWay* shape = context_.inline_positions->find(way);
    if (shape == nullptr || shape->last - shape->first <= found) {
        return static_cast<std::uint32_t>(refs.size() - found);
    }
    const std::span<const Position> positions = context_.inline_positions->positions(*shape);
    positions_.assign(positions.begin(), positions.end());
    const std::size_t absent = refs.size() - std::min(refs.size(), positions.size());
    return shape->complete ? 0 : static_cast<std::uint32_t>(std::max<std::size_t>(absent, 1));
}

std::uint32_t Cutter::absent_members(const Relation& relation) {
    std::uint32_t absent = 0;
    for (const Member& member : relation.members) {
        switch (member.type) {
            case schema::OsmType::node:
                absent += position_of(member.ref) ? 0 : 1;
                break;
            case schema::OsmType::way:
                absent += context_.member_ways->find(member.ref) != nullptr ||
                                  context_.inline_positions->find(member.ref) != nullptr
                              ? 0
                              : 1;
                break;
            case schema::OsmType::relation:
                absent += context_.relations->contains(member.ref) ? 0 : 1;
                break;
        }
    }
    return absent;
}

bool Cutter::add_kept_tags(const std::vector<Tag>& tags, CutResult& out) const {
    const std::size_t first = out.tags.size();
    for (const Tag& tag : tags) {
        if (context_.filter->keeps(tag.key)) {
            out.tags.push_back(tag);
        }
    }
    const std::size_t kept = out.tags.size() - first;
    out.dropped_tags += tags.size() - kept;
    if (kept == 0 && !tags.empty()) {
        ++out.dropped["no tag left by the tag filter"];
    }
    return kept > 0;
}

/// Adds the object with the pieces that `parts_` makes. One without pieces is left out, unless it is a relation that
/// has no geometry to begin with.
void Cutter::store(CutObject object, std::size_t first_tag, CutResult& out) {
    restrict_parts();
    const PieceBuilder::Added added = builder_.add(object_key(object.type, object.id), parts_, out.pieces);
    if (added.records + added.covered == 0 && object.type != schema::OsmType::relation) {
        out.tags.resize(first_tag);
        return;
    }
    object.pieces = added.records;
    object.covered = added.covered;
    object.first_tag = first_tag;
    object.last_tag = out.tags.size();
    out.objects.push_back(object);
}

}  // namespace geojepa
