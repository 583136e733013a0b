// Measures in double before rounding, in the plane tangent at the south-west corner of the tile.
#include "clip/pieces.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace geojepa {
namespace {

template <typename T>
void append(std::vector<std::byte>& bytes, const T& value) {
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), first, first + sizeof(T));
}

template <typename T>
T take(std::span<const std::byte>& bytes) {
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    bytes = bytes.subspan(sizeof(T));
    return value;
}

std::int32_t round_unit(double value) {
    return static_cast<std::int32_t>(std::floor(value + 0.5));
}

double path_length(const std::vector<EastNorth>& points, bool closed) {
    double length = 0;
    for (std::size_t i = 1; i < points.size(); ++i) {
        length += std::hypot(points[i].east_m - points[i - 1].east_m, points[i].north_m - points[i - 1].north_m);
    }
    if (closed && points.size() > 1) {
        length +=
            std::hypot(points.front().east_m - points.back().east_m, points.front().north_m - points.back().north_m);
    }
    return length;
}

double ring_area(const std::vector<EastNorth>& ring) {
    double twice = 0;
    for (std::size_t i = 1; i + 1 < ring.size(); ++i) {
        twice += (ring[i].east_m - ring[0].east_m) * (ring[i + 1].north_m - ring[0].north_m) -
                 (ring[i + 1].east_m - ring[0].east_m) * (ring[i].north_m - ring[0].north_m);
    }
    return std::abs(twice) / 2;
}

/// Whether rounding reversed the orientation of a sliver.
bool turns_wrong(std::span<const Position> ring, schema::Role role) {
    std::int64_t twice_area = 0;
    const Position origin = ring.front();
    for (std::size_t i = 1; i + 1 < ring.size(); ++i) {
        twice_area += std::int64_t{ring[i].lon - origin.lon} * (ring[i + 1].lat - origin.lat) -
                      std::int64_t{ring[i + 1].lon - origin.lon} * (ring[i].lat - origin.lat);
    }
    return role == schema::Role::outer ? twice_area < 0 : twice_area > 0;
}

/// Rounds points and drops repeated ones, as long as the part keeps the minimum number of points for its role.
std::size_t append_rounded(std::span<const Point> points, schema::Role role, std::vector<Position>& out) {
    const std::size_t start = out.size();
    for (const Point point : points) {
        const Position position{round_unit(point.lon), round_unit(point.lat)};
        if (out.size() == start || out.back() != position) {
            out.push_back(position);
        }
    }
    const bool ring = role == schema::Role::outer || role == schema::Role::inner;
    while (ring && out.size() > start + 1 && out.back() == out[start]) {
        out.pop_back();
    }
    const std::size_t min_points = ring ? 3 : (role == schema::Role::line ? 2 : 1);
    if (out.size() - start < min_points) {
        // A part smaller than the unit keeps its role, with points at the same position.
        out.resize(start);
        for (std::size_t i = 0; i < min_points; ++i) {
            const Point point = points[std::min(i, points.size() - 1)];
            out.push_back({round_unit(point.lon), round_unit(point.lat)});
        }
    }
    if (ring && turns_wrong(std::span{out}.subspan(start), role)) {
        std::reverse(out.begin() + static_cast<std::ptrdiff_t>(start), out.end());
    }
    return out.size() - start;
}

}  // namespace

std::uint64_t object_key(schema::OsmType type, std::int64_t id) {
    // Two bits for the type. Ids keep their order, including negative ids of files that were never uploaded.
    constexpr std::int64_t half = std::int64_t{1} << 61U;
    return (static_cast<std::uint64_t>(type) << 62U) |
           static_cast<std::uint64_t>(std::clamp(id, -half, half - 1) + half);
}

void PieceView::decode(const Grid& grid, std::span<const std::byte> record) {
    header = take<PieceHeader>(record);
    roles.clear();
    part_nodes.clear();
    for (std::uint32_t i = 0; i < header.parts; ++i) {
        roles.push_back(take<schema::Role>(record));
        part_nodes.push_back(take<std::uint32_t>(record));
    }
    nodes.resize(header.nodes);
    if (!nodes.empty()) {
        std::memcpy(nodes.data(), record.data(), record.size());
    }
    if (header.outlines > 0) {
        const Ring outline = rectangle_ring(grid.bounds(grid.from_sort_key(header.key.tile)));
        for (std::uint32_t i = 0; i < header.outlines; ++i) {
            roles.push_back(schema::Role::outer);
            part_nodes.push_back(static_cast<std::uint32_t>(append_rounded(outline, schema::Role::outer, nodes)));
        }
    }
}

PieceHeader header_of(std::span<const std::byte> record) {
    PieceHeader header;
    std::memcpy(&header, record.data(), sizeof(header));
    return header;
}

std::size_t record_bytes(const PieceHeader& header) {
    return sizeof(PieceHeader) + header.parts * (sizeof(schema::Role) + sizeof(std::uint32_t)) +
           header.nodes * sizeof(Position);
}

void set_object(std::span<std::byte> record, std::uint32_t object) {
    std::memcpy(record.data() + offsetof(PieceHeader, object), &object, sizeof(object));
}

const EnuFrame& PieceBuilder::frame_of(TileIndex tile) {
    Frame& slot = frames_[(tile.x * 7 + tile.y) % std::size(frames_)];
    if (slot.tile != tile) {
        const Bounds bounds = grid_->bounds(tile);
        slot = {.tile = tile, .frame = EnuFrame{bounds.west / units_per_degree, bounds.south / units_per_degree}};
    }
    return slot.frame;
}

PieceBuilder::Added PieceBuilder::add(std::uint64_t object, const TiledParts& parts, PieceBatch& out) {
    for (const CoveredWindow& window : parts.covered) {
        out.covered.push_back({.object_key = object, .window = window});
    }
    order_.resize(parts.parts.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    const auto tile_of = [&](std::size_t i) { return parts.parts[i].tile; };
    const auto is_before = [](TileIndex a, TileIndex b) { return a.y != b.y ? a.y < b.y : a.x < b.x; };
    if (order_.size() > 1) {
        std::stable_sort(order_.begin(), order_.end(),
                         [&](std::size_t a, std::size_t b) { return is_before(tile_of(a), tile_of(b)); });
    }
    Added added{.records = 0, .covered = parts.covered.size()};
    auto outlined = parts.outlined.begin();
    for (std::size_t first = 0, last = 0; first < order_.size(); first = last, ++added.records) {
        while (last < order_.size() && tile_of(order_[last]) == tile_of(order_[first])) {
            ++last;
        }
        const TileIndex tile = tile_of(order_[first]);
        outlined = std::find_if(outlined, parts.outlined.end(),
                                [&](const OutlinedTile& other) { return !is_before(other.tile, tile); });
        const bool has_outlines = outlined != parts.outlined.end() && outlined->tile == tile;
        add_piece(object, parts, std::span{order_}.subspan(first, last - first), has_outlines ? outlined->outlines : 0,
                  out);
    }
    return added;
}

PieceHeader PieceBuilder::covering(TileIndex tile, const CoveredTiles& covered) {
    const std::uint32_t outlines = covered.window.outlines;
    area_m2_ = length_m_ = 0;
    measure_outlines(tile, std::max(outlines, 1U));
    return {
        .key = {.tile = grid_->sort_key(tile), .object = covered.object_key},
        .area_m2 = static_cast<float>(area_m2_),
        .length_m = static_cast<float>(length_m_),
        .object = covered.object,
        .covers_tile = outlines == 0 ? 1U : 0U,
        .outlines = outlines,
    };
}

void PieceBuilder::measure(std::span<const Point> points, schema::Role role, const EnuFrame& frame) {
    if (role == schema::Role::point) {
        return;
    }
    const bool ring = role == schema::Role::outer || role == schema::Role::inner;
    plane_.clear();
    for (const Point p : points) {
        plane_.push_back(frame.to_enu(p.lon / units_per_degree, p.lat / units_per_degree));
    }
    length_m_ += path_length(plane_, ring);
    area_m2_ += ring ? (role == schema::Role::outer ? 1 : -1) * ring_area(plane_) : 0;
}

void PieceBuilder::measure_outlines(TileIndex tile, std::uint32_t outlines) {
    if (outlines == 0) {
        return;
    }
    const Ring outline = rectangle_ring(grid_->bounds(tile));
    for (std::uint32_t i = 0; i < outlines; ++i) {
        measure(outline, schema::Role::outer, frame_of(tile));
    }
}

void PieceBuilder::add_piece(std::uint64_t object, const TiledParts& parts, std::span<const std::size_t> selected,
                             std::uint32_t outlines, PieceBatch& out) {
    const TileIndex tile = parts.parts[selected.front()].tile;
    const EnuFrame& frame = frame_of(tile);
    PieceHeader header{};
    header.key = {.tile = grid_->sort_key(tile), .object = object};
    nodes_.clear();
    area_m2_ = length_m_ = 0;
    const std::size_t first_byte = out.bytes.size();
    out.bytes.resize(first_byte + sizeof(PieceHeader));
    for (const std::size_t i : selected) {
        const TiledParts::Part& part = parts.parts[i];
        const std::span<const Point> points = parts.points_of(part);
        measure(points, part.role, frame);
        append(out.bytes, part.role);
        append(out.bytes, static_cast<std::uint32_t>(append_rounded(points, part.role, nodes_)));
        ++header.parts;
    }
    measure_outlines(tile, outlines);
    header.outlines = outlines;
    header.area_m2 = static_cast<float>(area_m2_);
    header.length_m = static_cast<float>(length_m_);
    header.nodes = static_cast<std::uint32_t>(nodes_.size());
    const auto* first_node = reinterpret_cast<const std::byte*>(nodes_.data());
    out.bytes.insert(out.bytes.end(), first_node, first_node + nodes_.size() * sizeof(Position));
    std::memcpy(out.bytes.data() + first_byte, &header, sizeof(header));
    out.first_bytes.push_back(first_byte);
}

}  // namespace geojepa
