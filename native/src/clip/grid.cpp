// Tabulates the edges of a zoom and looks up positions in the table.
#include "clip/grid.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "errors.hpp"

namespace geojepa {
namespace {

constexpr std::uint32_t min_zoom = group_zoom;
constexpr std::uint32_t max_zoom = 18;

double north_edge_of(std::uint32_t y, std::uint32_t side) {
    const double mercator = std::numbers::pi * (1.0 - 2.0 * y / side);
    return std::atan(std::sinh(mercator)) * (180.0 / std::numbers::pi) * units_per_degree;
}

}  // namespace

Grid::Grid(std::uint32_t zoom) : zoom_(zoom), side_(0), column_width_(0) {
    if (zoom < min_zoom || zoom > max_zoom) {
        throw UsageError("zoom " + std::to_string(zoom) + " is not between 14 and 18", {.options = {{"zoom", "16"}}});
    }
    side_ = 1U << zoom;
    column_width_ = 360 * units_per_degree / side_;
    north_edges_.reserve(side_ + 1);
    for (std::uint32_t y = 0; y <= side_; ++y) {
        north_edges_.push_back(north_edge_of(y, side_));
    }
}

Bounds Grid::bounds(TileIndex tile) const noexcept {
    return {
        .west = west_edge(tile.x),
        .south = north_edge(tile.y + 1),
        .east = west_edge(tile.x + 1),
        .north = north_edge(tile.y),
    };
}

std::uint32_t Grid::column(double lon) const noexcept {
    const double column = std::floor((lon + 180 * units_per_degree) / column_width_);
    return static_cast<std::uint32_t>(std::clamp(column, 0.0, static_cast<double>(side_ - 1)));
}

std::uint32_t Grid::row(double lat) const noexcept {
    // The row is the last one whose north edge is not south of `lat`.
    const auto below = std::lower_bound(north_edges_.begin(), north_edges_.end(), lat,
                                        [](double edge, double value) { return edge >= value; });
    const auto rows = static_cast<std::uint32_t>(below - north_edges_.begin());
    return std::clamp(rows, 1U, side_) - 1;
}

bool Grid::covers_latitude(double lat) const noexcept {
    return lat <= north_edges_.front() && lat > north_edges_.back();
}

std::uint64_t Grid::sort_key(TileIndex tile) const noexcept {
    const std::uint32_t shift = zoom_ - group_zoom;
    const std::uint64_t group = (std::uint64_t{tile.y >> shift} << group_zoom) | (tile.x >> shift);
    const std::uint32_t mask = (1U << shift) - 1;
    return (group << (2 * shift)) | (std::uint64_t{tile.y & mask} << shift) | (tile.x & mask);
}

TileIndex Grid::from_sort_key(std::uint64_t key) const noexcept {
    const std::uint32_t shift = zoom_ - group_zoom;
    const std::uint32_t mask = (1U << shift) - 1;
    const std::uint64_t group = key >> (2 * shift);
    const auto group_x = static_cast<std::uint32_t>(group & ((1U << group_zoom) - 1));
    const auto group_y = static_cast<std::uint32_t>(group >> group_zoom);
    const auto x = static_cast<std::uint32_t>(key & mask);
    const auto y = static_cast<std::uint32_t>((key >> shift) & mask);
    return {(group_x << shift) | x, (group_y << shift) | y};
}

}  // namespace geojepa
