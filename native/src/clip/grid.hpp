// The Web Mercator tile grid over positions in fixed point, 1e-7 degrees.
//
// A tile's edges are numbers of that unit too, but not whole ones: west and east edges are exact in double,
// north and south edges are rounded once, here, so that every question about an edge has the same answer.
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

/// As Position, between the units: a point where a line meets a tile's edge.
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

/// Edges in units of 1e-7 degrees.
struct Bounds {
    double west = 0;
    double south = 0;
    double east = 0;
    double north = 0;
};

/// All tiles of one zoom.
class Grid {
public:
    /// `zoom` is 14..18; throws UsageError otherwise.
    explicit Grid(std::uint32_t zoom);

    std::uint32_t zoom() const noexcept { return zoom_; }
    /// Tiles along one side of the world.
    std::uint32_t side() const noexcept { return side_; }

    /// The edge between columns x - 1 and x.
    double west_edge(std::uint32_t x) const noexcept { return column_width_ * x - 180 * units_per_degree; }
    /// The edge between rows y - 1 and y.
    double north_edge(std::uint32_t y) const noexcept { return north_edges_[y]; }
    Bounds bounds(TileIndex tile) const noexcept;

    /// Column of `lon`, its west edge in; longitude 180 belongs to the last one.
    std::uint32_t column(double lon) const noexcept;
    /// Row of `lat`, its north edge in. Latitudes beyond the grid give the first or the last row.
    std::uint32_t row(double lat) const noexcept;
    bool covers_latitude(double lat) const noexcept;

    /// Order of tiles in a file: by zoom-14 group (y, x), then y, x.
    std::uint64_t sort_key(TileIndex tile) const noexcept;
    TileIndex from_sort_key(std::uint64_t key) const noexcept;

private:
    std::uint32_t zoom_;
    std::uint32_t side_;
    double column_width_;
    std::vector<double> north_edges_;  // side + 1 latitudes, from the north pole's side southwards
};

}  // namespace geojepa
