// Checks every offset before use, so that a damaged file cannot cause an access out of bounds.
#include "process/tile_batch.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "errors.hpp"

namespace geojepa {
namespace {

/// Minimum pieces of a batch: enough to keep a thread busy, few enough for its cache.
constexpr std::uint64_t batch_pieces = 8192;

[[noreturn]] void damaged(const std::string& what) {
    throw InputError("the input is damaged: " + what);
}

void check_offsets(std::span<const std::uint64_t> offsets, std::uint64_t last, const char* column) {
    if (!std::is_sorted(offsets.begin(), offsets.end()) || offsets.back() > last) {
        damaged(std::string{"the offsets of `"} + column + "` are not ascending within their table");
    }
}

}  // namespace

Directory::Directory(const ColumnReader& input)
    : tile_x{input.map(schema::tile_x)},
      tile_y{input.map(schema::tile_y)},
      east_m{input.map(schema::tile_east_m)},
      north_m{input.map(schema::tile_north_m)},
      tile_pieces{input.map(schema::tile_pieces)},
      osm_type{input.map(schema::object_osm_type)},
      osm_id{input.map(schema::object_osm_id)},
      kind{input.map(schema::object_kind)},
      piece_object{input.map(schema::piece_object)},
      covers_tile{input.map(schema::piece_covers_tile)},
      piece_parts{input.map(schema::piece_parts)},
      roles{input.map(schema::part_role)},
      part_nodes{input.map(schema::part_nodes)},
      lonlat{input.map(schema::node_lonlat)},
      pieces{piece_object.size()},
      parts{roles.size()},
      nodes{lonlat.size() / schema::node_lonlat.width} {
    const std::size_t tiles = tile_x.size();
    if (tile_y.size() != tiles || east_m.size() != tiles || north_m.size() != tiles ||
        tile_pieces.size() != tiles + 1 || osm_id.size() != osm_type.size() || kind.size() != osm_type.size() ||
        covers_tile.size() != pieces || piece_parts.size() != pieces + 1 || part_nodes.size() != parts + 1) {
        damaged("the columns of a table differ in length");
    }
    check_offsets(tile_pieces.view(), pieces, "tile/pieces");
    if (tile_pieces[0] != 0 || tile_pieces[tiles] != pieces) {
        damaged("`tile/pieces` does not cover every piece");
    }
}

TileFrame Directory::frame(std::size_t tile, const Grid& grid) const {
    if (tile_x[tile] >= grid.side() || tile_y[tile] >= grid.side() || !(east_m[tile] > 0) || !(north_m[tile] > 0)) {
        damaged("a tile lies outside the grid or has no size");
    }
    return {
        .zoom = grid.zoom(),
        .bounds = grid.bounds({.x = tile_x[tile], .y = tile_y[tile]}),
        .east_m = east_m[tile],
        .north_m = north_m[tile],
    };
}

std::size_t Directory::batch_end(std::size_t first_tile) const {
    std::size_t last = first_tile + 1;
    while (last < tile_x.size() && tile_pieces[last] - tile_pieces[first_tile] < batch_pieces) {
        ++last;
    }
    return last;
}

TileBatch::TileBatch(const Directory& directory, std::size_t first_tile, std::size_t last_tile)
    : directory_{directory} {
    const std::span<const std::uint64_t> piece_parts =
        directory.piece_parts.view(directory.tile_pieces[first_tile], directory.tile_pieces[last_tile] + 1);
    check_offsets(piece_parts, directory.parts, "piece/parts");
    check_offsets(directory.part_nodes.view(piece_parts.front(), piece_parts.back() + 1), directory.nodes,
                  "part/nodes");
}

PieceInput TileBatch::piece(std::uint64_t row) const {
    const std::uint32_t object = directory_.piece_object[row];
    if (object >= directory_.osm_type.size()) {
        damaged("a piece refers to an object that does not exist");
    }
    const std::size_t part = directory_.piece_parts[row];
    const std::size_t end_part = directory_.piece_parts[row + 1];
    check_parts(part, end_part);
    const bool covers_tile = directory_.covers_tile[row] != 0;
    if (part == end_part && !covers_tile) {
        damaged("a piece without parts does not cover its tile");
    }
    const std::span<const std::uint64_t> part_nodes = directory_.part_nodes.view(part, end_part + 1);
    return {
        .osm_type = static_cast<schema::OsmType>(directory_.osm_type[object]),
        .osm_id = directory_.osm_id[object],
        .kind = static_cast<schema::Kind>(directory_.kind[object]),
        .covers_tile = covers_tile,
        .roles = directory_.roles.view(part, end_part),
        .part_nodes = part_nodes,
        .lonlat = directory_.lonlat.view(2 * part_nodes.front(), 2 * part_nodes.back()),
    };
}

void TileBatch::check_parts(std::size_t first, std::size_t last) const {
    for (std::size_t part = first; part < last; ++part) {
        const bool is_ring = directory_.roles[part] >= static_cast<std::uint8_t>(schema::Role::outer);
        if (directory_.roles[part] > static_cast<std::uint8_t>(schema::Role::inner) ||
            directory_.part_nodes[part + 1] - directory_.part_nodes[part] < (is_ring ? 3U : 1U)) {
            damaged("a part has an unknown role or too few vertices");
        }
    }
}

}  // namespace geojepa
