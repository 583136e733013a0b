// For each piece: projects it, computes its box, simplifies it, and adds visibility edges.
#include "process/tile_processor.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace geojepa {
namespace {

constexpr std::uint32_t first_u16_zoom = 16;

/// Steps by which simplification may move a vertex that was clamped to the lattice.
constexpr std::int32_t nudge_room = 16;

/// Maximum distance by which rounding moves a vertex: half the diagonal of a lattice step plus half the diagonal of the
/// unit to which clipped vertices are rounded. It is subtracted from the tolerance of the simplification, so that both
/// together stay within the tolerance.
double rounding_m(double step_m) {
    constexpr double half_diagonal = 0.75;  // 0.7072, and a margin for rounding errors
    constexpr double unit_m = 0.01113;      // 1e-7 degrees of latitude
    return half_diagonal * (step_m + unit_m);
}

enum Side : unsigned { west = 1, east = 2, south = 4, north = 8 };

}  // namespace

std::uint64_t ProcessedRows::bytes() const noexcept {
    const auto of = [](const auto& rows) { return rows.capacity() * sizeof(rows[0]); };
    return of(boxes) + of(part_sizes) + of(nodes) + of(edge_counts) + of(edges);
}

ProcessCounts& ProcessCounts::operator+=(const ProcessCounts& other) {
    tiles += other.tiles;
    pieces += other.pieces;
    parts += other.parts;
    nodes_in += other.nodes_in;
    nodes_out += other.nodes_out;
    nodes_clamped += other.nodes_clamped;
    edges += other.edges;
    boxes_grown += other.boxes_grown;
    rings.refined += other.rings.refined;
    rings.nudged += other.rings.nudged;
    rings.crossing += other.rings.crossing;
    return *this;
}

Lattice lattice_of(std::uint32_t zoom) {
    if (zoom >= first_u16_zoom) {
        return {.scale = 49152.0, .offset = 8192, .low = nudge_room, .high = 65535 - nudge_room};
    }
    return {.scale = 4194304.0, .offset = 0, .low = -(lattice_limit / 2), .high = lattice_limit / 2 - 1};
}

void TileProcessor::begin_tile(const TileFrame& tile) {
    tile_ = tile;
    frame_ = EnuFrame{tile.bounds.west / units_per_degree, tile.bounds.south / units_per_degree};
    lattice_ = lattice_of(tile.zoom);
    simplifier_.set_tolerance(std::max(0.0, simplify_m_ - rounding_m(tile.east_m / lattice_.scale)));
}

void TileProcessor::add_piece(const PieceInput& piece, ProcessedRows& rows, ProcessCounts& counts) {
    project(piece, counts);
    rows.boxes.push_back(box_of(piece, counts));
    simplifier_.choose(shape_, keep_, counts.rings);
    add_kept(rows, counts);
    ++counts.pieces;
    counts.parts += shape_.part_count();
    counts.nodes_in += shape_.node_count();
}

/// Fills `shape_`: converts degrees to metres and to the lattice.
void TileProcessor::project(const PieceInput& piece, ProcessCounts& counts) {
    shape_.clear();
    shape_.one_area = piece.kind == schema::Kind::area;
    const auto to_lattice = [&](double metres) {
        const double value = std::floor(metres / tile_.east_m * lattice_.scale + lattice_.offset + 0.5);
        return static_cast<std::int32_t>(std::clamp<double>(value, lattice_.low, lattice_.high));
    };
    const std::size_t count = piece.lonlat.size() / 2;
    for (std::size_t at = 0; at < count; ++at) {
        const EastNorth place =
            frame_.to_enu(piece.lonlat[2 * at] / units_per_degree, piece.lonlat[2 * at + 1] / units_per_degree);
        const LatticePoint point{to_lattice(place.east_m), to_lattice(place.north_m)};
        const bool at_limit =
            point.x == lattice_.low || point.x == lattice_.high || point.y == lattice_.low || point.y == lattice_.high;
        counts.nodes_clamped += at_limit ? 1 : 0;
        shape_.metres.push_back(place);
        shape_.lattice.push_back(point);
    }
    shape_.fixed.assign(count, 0);
    for (std::size_t part = 0; part < piece.roles.size(); ++part) {
        shape_.roles.push_back(static_cast<schema::Role>(piece.roles[part]));
        shape_.part_begin.push_back(static_cast<std::uint32_t>(piece.part_nodes[part + 1] - piece.part_nodes.front()));
        if (shape_.is_ring(part)) {
            fix_border(piece.lonlat, part);
        }
    }
}

/// The sides of the tile on which a position lies, within one unit.
unsigned TileProcessor::border_sides(std::int32_t lon, std::int32_t lat) const {
    const auto on = [](std::int32_t value, double edge) { return std::abs(value - edge) <= 1.0; };
    unsigned sides = 0;
    sides |= on(lon, tile_.bounds.west) ? Side::west : 0U;
    sides |= on(lon, tile_.bounds.east) ? Side::east : 0U;
    sides |= on(lat, tile_.bounds.south) ? Side::south : 0U;
    sides |= on(lat, tile_.bounds.north) ? Side::north : 0U;
    return sides;
}

/// Marks the vertices of a clipped ring that must be kept so that the pieces of an area in neighbouring tiles still
/// meet: those where it reaches a side of the tile, leaves it, or turns at a corner.
void TileProcessor::fix_border(std::span<const std::int32_t> lonlat, std::size_t part) {
    const std::size_t begin = shape_.part_begin[part];
    const std::size_t end = shape_.part_begin[part + 1];
    const auto sides_at = [&](std::size_t at) { return border_sides(lonlat[2 * at], lonlat[2 * at + 1]); };
    unsigned before = sides_at(end - 1);
    unsigned here = sides_at(begin);
    for (std::size_t at = begin; at < end; ++at) {
        const unsigned after = sides_at(at + 1 < end ? at + 1 : begin);
        shape_.fixed[at] = here != 0 && (before & here & after) == 0 ? 1 : 0;
        before = here;
        here = after;
    }
}

StoredBox TileProcessor::box_of(const PieceInput& piece, ProcessCounts& counts) {
    if (piece.covers_tile) {
        const auto height = static_cast<float>(tile_.north_m / tile_.east_m);
        return {0, 0, 1, 0, 1, height, 0, height};  // (0, 0), (1, 0), (1, height), (0, height)
    }
    hull_points_ = shape_.metres;
    const std::vector<EastNorth> hull = convex_hull(hull_points_);
    TurnedBox box = minimum_area_box(hull, turn_of(piece.osm_type, piece.osm_id));
    if (grow_sides(box, min_side_m_) && hull.size() > 1) {
        ++counts.boxes_grown;
    }
    return store_box(box, tile_.east_m);
}

/// Adds the kept vertices of `shape_` and the visibility edges between them.
void TileProcessor::add_kept(ProcessedRows& rows, ProcessCounts& counts) {
    const std::size_t first_node = rows.nodes.size();
    kept_part_begin_.assign(1, 0);
    part_is_ring_.clear();
    for (std::size_t part = 0; part < shape_.part_count(); ++part) {
        for (std::size_t at = shape_.part_begin[part]; at < shape_.part_begin[part + 1]; ++at) {
            if (keep_[at] != 0) {
                rows.nodes.push_back(shape_.lattice[at]);
            }
        }
        kept_part_begin_.push_back(static_cast<std::uint32_t>(rows.nodes.size() - first_node));
        rows.part_sizes.push_back(kept_part_begin_[part + 1] - kept_part_begin_[part]);
        part_is_ring_.push_back(shape_.is_ring(part) ? 1 : 0);
    }
    const PieceParts parts{
        .nodes = std::span{rows.nodes}.subspan(first_node),
        .part_begin = kept_part_begin_,
        .part_is_ring = part_is_ring_,
    };
    const auto edges = visibility_edges(parts, visibility_k_);
    rows.edges.insert(rows.edges.end(), edges.begin(), edges.end());
    rows.edge_counts.push_back(static_cast<std::uint32_t>(edges.size()));
    counts.nodes_out += rows.nodes.size() - first_node;
    counts.edges += edges.size();
}

}  // namespace geojepa
