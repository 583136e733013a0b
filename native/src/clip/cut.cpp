// One function for each type of element, then what they share.
#include "clip/cut.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <utility>

#include "clip/clip_area.hpp"
#include "clip/clip_line.hpp"
#include "clip/repair.hpp"
#include "clip/simple_ring.hpp"
#include "read/antimeridian.hpp"
#include "read/areas.hpp"
#include "read/assembler.hpp"

namespace geojepa {
namespace {

bool is_superseded(const LongArray<std::uint64_t>& sequences, std::uint64_t sequence) {
    return std::binary_search(sequences.begin(), sequences.end(), sequence);
}

/// Assembles on the globe rotated by 180 degrees. Returns no polygons where a line goes around a pole.
std::vector<Polygon> assemble_turned(const std::vector<MemberLine>& lines) {
    std::vector<std::vector<Position>> turned;
    std::vector<MemberLine> turned_lines;
    for (const MemberLine& line : lines) {
        turned.push_back(turn_by_half(line.positions));
        if (crosses_antimeridian(turned.back())) {
            return {};
        }
        turned_lines.push_back({.positions = turned.back(), .role = line.role});
    }
    return assemble(turned_lines);
}

}  // namespace

Cutter::Cutter(const CutContext& context)
    : context_(context),
      locator_(*context.locations, *context.inline_positions, *context.member_ways, *context.relations),
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
        {
            .type = schema::OsmType::node,
            .id = node.id,
            .version = node.version,
            .kind = schema::Kind::point,
        },
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
    const std::uint32_t absent = locator_.way(way.id, refs, positions_);
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
    store(
        {
            .type = schema::OsmType::way,
            .id = way.id,
            .version = way.version,
            .kind = area ? schema::Kind::area : schema::Kind::line,
            .token = area ? token_of_area(tags) : schema::Token::entity,
            .absent_members = absent,
        },
        first_tag, out);
}

void Cutter::cut_relation(const Relation& relation, CutResult& out) {
    const std::vector<Tag>& tags = relation.tags;
    const std::size_t first_tag = out.tags.size();
    if (!add_kept_tags(tags, out)) {
        return;
    }
    CutObject object{
        .type = schema::OsmType::relation,
        .id = relation.id,
        .version = relation.version,
        .kind = schema::Kind::relation,
        .token = token_of_relation(tags),
        .absent_members = locator_.absent_members(relation),
    };
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
        polygons.push_back({.rings = {to_ring(ring)}});
        orient(polygons.front());
    } else {
        polygons = make_valid({to_ring(ring)});
        ++(polygons.empty() ? out.dropped["area of no extent"] : out.repaired["ring that touched or crossed itself"]);
    }
    const bool has_extent = !polygons.empty();
    add_polygons(std::move(polygons), turned, out);
    return has_extent;
}

/// Clips polygons to tiles. Polygons of the globe rotated by 180 degrees are rotated back and cut at the antimeridian.
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
        const MemberWay* way = locator_.member(member.ref, positions);
        absent = absent || way == nullptr || !way->complete;
        if (positions.size() >= 2) {
            lines.push_back({.positions = positions, .role = member.role});
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
            continue;  // a route that uses a road twice contains it once
        }
        if (member.type == schema::OsmType::node) {
            const std::optional<Position> position = locator_.node(member.ref);
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
            const MemberWay* way = locator_.member(member.ref, positions);
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

/// Adds the object and the pieces of `parts_`. Leaves out objects without pieces, except relations, whose geometry may
/// be empty.
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
