// The Web Mercator tile grid over positions in fixed point, 1e-7 degrees.
//
// The edges of tiles are fractions of this unit. West and east edges are exact in double. North and south edges are
// rounded once, in a table, so that all computations use the same value for an edge.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace geojepa {

inline constexpr double units_per_degree = 1e7;
inline constexpr std::uint32_t group_zoom = 14;

/// Longitude and latitude in units of 1e-7 degrees.
struct Position {
    std::int32_t lon = 0;
    std::int32_t lat = 0;
    friend auto operator<=>(const Position&, const Position&) = default;
};

/// Longitude and latitude in units of 1e-7 degrees, not rounded: for example where a line meets the edge of a tile.
struct Point {
    double lon = 0;
    double lat = 0;
    friend bool operator==(const Point&, const Point&) = default;
};

/// Column from the antimeridian eastwards, row from the north southwards.
struct TileIndex {
    std::uint32_t x = 0;
    std::uint32_t y = 0;
    friend bool operator==(const TileIndex&, const TileIndex&) = default;
};

/// A rectangle in units of 1e-7 degrees.
struct Bounds {
    double west = 0;
    double south = 0;
    double east = 0;
    double north = 0;
};

/// A rectangle of tiles, both corners inclusive.
struct TileWindow {
    TileIndex first;
    TileIndex last;

    bool contains(TileIndex tile) const noexcept {
        return tile.x >= first.x && tile.x <= last.x && tile.y >= first.y && tile.y <= last.y;
    }
};

/// All tiles of one zoom.
class Grid {
public:
    /// Throws UsageError where `zoom` is not 14 to 18.
    explicit Grid(std::uint32_t zoom);

    std::uint32_t zoom() const noexcept { return zoom_; }
    /// Number of tiles along one side of the world.
    std::uint32_t side() const noexcept { return side_; }

    /// The edge between columns x - 1 and x.
    double west_edge(std::uint32_t x) const noexcept { return column_width_ * x - 180 * units_per_degree; }
    /// The edge between rows y - 1 and y.
    double north_edge(std::uint32_t y) const noexcept { return north_edges_[y]; }
    Bounds bounds(TileIndex tile) const noexcept;
    TileWindow all_tiles() const noexcept { return {.first = {0, 0}, .last = {side_ - 1, side_ - 1}}; }

    /// Column of `lon`. A column includes its west edge, and the last one also longitude 180.
    std::uint32_t column(double lon) const noexcept;
    /// Row of `lat`. A row includes its north edge. Latitudes beyond the grid give the first or the last row.
    std::uint32_t row(double lat) const noexcept;
    bool covers_latitude(double lat) const noexcept;

    /// A key that sorts tiles in the order of the file: by zoom-14 group (y, x), then y, x.
    std::uint64_t sort_key(TileIndex tile) const noexcept;
    TileIndex from_sort_key(std::uint64_t key) const noexcept;

private:
    std::uint32_t zoom_;
    std::uint32_t side_;
    double column_width_;
    std::vector<double> north_edges_;  // side + 1 latitudes, from north to south
};

}  // namespace geojepa
