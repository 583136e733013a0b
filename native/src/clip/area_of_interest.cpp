// Boxes become windows of tiles, polygons sets of tiles.
#include "clip/area_of_interest.hpp"

#include <cmath>
#include <utility>

#include "errors.hpp"
#include "read/polygon_file.hpp"

namespace geojepa {
namespace {

TileWindow window_of(const Grid& grid, const std::array<double, 4>& bbox) {
    const auto [west, south, east, north] = bbox;
    const bool finite = std::isfinite(west) && std::isfinite(south) && std::isfinite(east) && std::isfinite(north);
    if (!finite || west >= east || south >= north || west < -180 || east > 180 || south < -90 || north > 90) {
        throw UsageError("--bbox is west,south,east,north in degrees, west below east and south below north",
                         {.options = {{"bbox", "-77.90,40.76,-77.82,40.82"}}});
    }
    TileWindow window{
        .first = {grid.column(west * units_per_degree), grid.row(north * units_per_degree)},
        .last = {grid.column(east * units_per_degree), grid.row(south * units_per_degree)},
    };
    // A box that ends at the edge of a tile does not meet the tile beyond it.
    if (window.last.x > window.first.x && grid.west_edge(window.last.x) >= east * units_per_degree) {
        --window.last.x;
    }
    if (window.last.y > window.first.y && grid.north_edge(window.last.y) <= south * units_per_degree) {
        --window.last.y;
    }
    return window;
}

TileSet tiles_of_polygon(const Grid& grid, const std::string& path) {
    TileSet tiles{grid, read_polygons(path)};
    if (tiles.empty()) {
        throw InputError("the polygons of `" + path + "` meet no tile; longitude comes before latitude",
                         {.options = {{"polygon", "FILE"}}});
    }
    return tiles;
}

}  // namespace

AreaOfInterest area_of_interest(const Grid& grid, const std::optional<std::array<double, 4>>& bbox,
                                const std::string& polygon) {
    if (!polygon.empty()) {
        if (bbox) {
            throw UsageError("--bbox and --polygon exclude each other", {.options = {{"polygon", polygon}}});
        }
        TileSet tiles = tiles_of_polygon(grid, polygon);
        const TileWindow window = tiles.window();
        return {.window = window, .only = std::move(tiles)};
    }
    return {.window = bbox ? window_of(grid, *bbox) : grid.all_tiles(), .only = std::nullopt};
}

}  // namespace geojepa
