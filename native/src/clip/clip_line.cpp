// Walks along a line from tile edge to tile edge, by the parameters of Liang and Barsky (1984) sorted along each
// segment. The time of a long line grows with the tiles that it passes, not with those of its bounding box.
#include "clip/clip_line.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

namespace geojepa {
namespace {

/// Stretches up to this length (in 1e-7 degrees; about 0.1 µm) are rounding errors.
constexpr double noise = 1e-5;
constexpr double half_turn = 180 * units_per_degree;

Point to_point(Position position) {
    return {static_cast<double>(position.lon), static_cast<double>(position.lat)};
}

Bounds extent_of(std::span<const Position> line) {
    Position low = line.front();
    Position high = line.front();
    for (const Position p : line) {
        low = {std::min(low.lon, p.lon), std::min(low.lat, p.lat)};
        high = {std::max(high.lon, p.lon), std::max(high.lat, p.lat)};
    }
    return {
        .west = static_cast<double>(low.lon),
        .south = static_cast<double>(low.lat),
        .east = static_cast<double>(high.lon),
        .north = static_cast<double>(high.lat),
    };
}

bool strictly_inside(const Bounds& tile, const Bounds& extent) {
    return extent.west > tile.west && extent.east < tile.east && extent.south > tile.south && extent.north < tile.north;
}

class LineWalker {
public:
    LineWalker(const Grid& grid, const TileWindow& window, TiledParts& out) : grid_(grid), window_(window), out_(out) {}

    void segment(Point from, Point to) {
        const Bounds extent{
            .west = std::min(from.lon, to.lon),
            .south = std::min(from.lat, to.lat),
            .east = std::max(from.lon, to.lon),
            .north = std::max(from.lat, to.lat),
        };
        if (open_ && strictly_inside(bounds_, extent)) {
            out_.push(to);
            return;
        }
        find_stops(from, to);
        for (std::size_t i = 0; i + 1 < stops_.size(); ++i) {
            stretch(stops_[i], stops_[i + 1], std::max(std::abs(to.lon - from.lon), std::abs(to.lat - from.lat)));
        }
    }

    bool open() const { return open_; }

private:
    struct Stop {
        double t = 0;
        Point point;
    };

    /// Lists both ends of a segment and every point where it meets the edge of a tile, in order.
    void find_stops(Point from, Point to) {
        stops_.assign({{.t = 0, .point = from}, {.t = 1, .point = to}});
        const double d_lon = to.lon - from.lon;
        const double d_lat = to.lat - from.lat;
        const auto [west, east] = std::minmax(from.lon, to.lon);
        const auto [south, north] = std::minmax(from.lat, to.lat);
        for (std::uint32_t x = grid_.column(west); x <= grid_.column(east); ++x) {
            const double edge = grid_.west_edge(x);
            if (edge > west && edge < east) {
                const double t = (edge - from.lon) / d_lon;
                stops_.push_back({.t = t, .point = {edge, from.lat + t * d_lat}});
            }
        }
        const std::uint32_t last_row = std::min(grid_.row(south) + 1, grid_.side());
        for (std::uint32_t y = grid_.row(north); y <= last_row; ++y) {
            const double edge = grid_.north_edge(y);
            if (edge > south && edge < north) {
                const double t = (edge - from.lat) / d_lat;
                stops_.push_back({.t = t, .point = {from.lon + t * d_lon, edge}});
            }
        }
        std::sort(stops_.begin(), stops_.end(), [](const Stop& a, const Stop& b) { return a.t < b.t; });
    }

    /// Adds the stretch between two stops to the tile that contains its middle.
    void stretch(const Stop& from, const Stop& to, double segment_length) {
        if ((to.t - from.t) * segment_length <= noise) {
            return;
        }
        const Point middle{(from.point.lon + to.point.lon) / 2, (from.point.lat + to.point.lat) / 2};
        const TileIndex tile{grid_.column(middle.lon), grid_.row(middle.lat)};
        const Bounds bounds = grid_.bounds(tile);
        const bool on_edge = middle.lon <= bounds.west || middle.lon >= bounds.east || middle.lat <= bounds.south ||
                             middle.lat >= bounds.north;
        if (on_edge || !window_.contains(tile)) {
            open_ = false;
            return;
        }
        if (!open_ || tile != tile_) {
            out_.open(tile, schema::Role::line);
            out_.push(from.point);
            tile_ = tile;
            bounds_ = bounds;
            open_ = true;
        }
        out_.push(to.point);
    }

    const Grid& grid_;
    const TileWindow& window_;
    TiledParts& out_;
    std::vector<Stop> stops_;
    TileIndex tile_;
    Bounds bounds_;
    bool open_ = false;
};

/// Walks the shorter way between two points whose longitudes differ by more than 180 degrees.
void across_antimeridian(LineWalker& walker, Point from, Point to) {
    const double edge = std::copysign(half_turn, from.lon);
    const double rest = std::abs(edge - from.lon);
    const double whole = rest + std::abs(std::copysign(half_turn, to.lon) - to.lon);
    const double t = whole > 0 ? rest / whole : 0;  // both points may lie on the antimeridian
    const double lat = from.lat + t * (to.lat - from.lat);
    walker.segment(from, {edge, lat});
    walker.segment({-edge, lat}, to);
}

/// Joins the last part of a closed line and its first part.
void join_ends(TiledParts& out, std::size_t first_part) {
    TiledParts::Part& first = out.parts[first_part];
    const TiledParts::Part last = out.parts.back();
    std::vector<Point> joined(out.points.begin() + static_cast<std::ptrdiff_t>(last.first_point), out.points.end());
    joined.insert(joined.end(), out.points.begin() + static_cast<std::ptrdiff_t>(first.first_point + 1),
                  out.points.begin() + static_cast<std::ptrdiff_t>(first.last_point));
    first.first_point = last.first_point;
    out.points.resize(last.first_point);
    out.points.insert(out.points.end(), joined.begin(), joined.end());
    first.last_point = out.points.size();
    out.parts.pop_back();
}

}  // namespace

LineClip clip_line(const Grid& grid, const TileWindow& window, std::span<const Position> line, TiledParts& out) {
    LineClip result;
    if (line.size() < 2) {
        return result;
    }
    const Bounds extent = extent_of(line);
    result.has_length = extent.west < extent.east || extent.south < extent.north;
    const TileIndex tile{grid.column(extent.west), grid.row(extent.north)};
    if (result.has_length && strictly_inside(grid.bounds(tile), extent)) {
        if (window.contains(tile)) {
            out.open(tile, schema::Role::line);
            for (const Position p : line) {
                out.push(to_point(p));
            }
        }
        return result;
    }
    const std::size_t first_part = out.parts.size();
    LineWalker walker{grid, window, out};
    bool starts_open = false;
    bool first_segment = true;
    for (std::size_t i = 0; i + 1 < line.size(); ++i) {
        if (line[i] == line[i + 1]) {
            continue;
        }
        if (std::abs(static_cast<double>(line[i].lon) - line[i + 1].lon) > half_turn) {
            ++result.antimeridian_segments;
            across_antimeridian(walker, to_point(line[i]), to_point(line[i + 1]));
        } else {
            walker.segment(to_point(line[i]), to_point(line[i + 1]));
        }
        if (std::exchange(first_segment, false)) {
            starts_open =
                out.parts.size() > first_part && out.points[out.parts[first_part].first_point] == to_point(line[i]);
        }
    }
    const bool closed = line.front() == line.back();
    if (closed && starts_open && walker.open() && out.parts.size() > first_part + 1 &&
        out.parts.back().tile == out.parts[first_part].tile) {
        join_ends(out, first_part);
    }
    return result;
}

}  // namespace geojepa
