// Range reads, and the checks that keep a damaged file from becoming an access out of bounds.
#include "tile_batch.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "errors.hpp"

namespace geojepa {
namespace {

/// Enough pieces to keep a thread busy, few enough to stay in its cache.
constexpr std::uint64_t batch_pieces = 8192;

[[noreturn]] void damaged(const std::string& what) {
    throw InputError("the input is damaged: " + what, tile_hint);
}

void check_offsets(std::span<const std::uint64_t> offsets, std::uint64_t last, const char* column) {
    if (!std::is_sorted(offsets.begin(), offsets.end()) || offsets.back() > last) {
        damaged(std::string{"the offsets of `"} + column + "` do not rise within its table");
    }
}

}  // namespace

Directory::Directory(const ColumnReader& input)
    : tile_x{input.read(schema::tile_x)},
      tile_y{input.read(schema::tile_y)},
      east_m{input.read(schema::tile_east_m)},
      north_m{input.read(schema::tile_north_m)},
      tile_pieces{input.read(schema::tile_pieces)},
      osm_type{input.read(schema::object_osm_type)},
      osm_id{input.read(schema::object_osm_id)},
      kind{input.read(schema::object_kind)},
      pieces{input.rows(schema::piece_object)},
      parts{input.rows(schema::part_role)},
      nodes{input.rows(schema::node_lonlat)} {
    const std::size_t tiles = tile_x.size();
    if (tile_y.size() != tiles || east_m.size() != tiles || north_m.size() != tiles ||
        tile_pieces.size() != tiles + 1 || osm_id.size() != osm_type.size() || kind.size() != osm_type.size() ||
        input.rows(schema::piece_parts) != pieces + 1 || input.rows(schema::part_nodes) != parts + 1) {
        damaged("columns of one table differ in length");
    }
    check_offsets(tile_pieces, pieces, "tile/pieces");
    if (tile_pieces.front() != 0 || tile_pieces.back() != pieces) {
        damaged("`tile/pieces` does not hold every piece");
    }
}

TileFrame Directory::frame(std::size_t tile, const Grid& grid) const {
    if (tile_x[tile] >= grid.side() || tile_y[tile] >= grid.side() || !(east_m[tile] > 0) || !(north_m[tile] > 0)) {
        damaged("a tile outside the grid, or of no size");
    }
    return {grid.zoom(), grid.bounds({tile_x[tile], tile_y[tile]}), east_m[tile], north_m[tile]};
}

std::size_t Directory::batch_end(std::size_t first_tile) const {
    std::size_t last = first_tile + 1;
    while (last < tile_x.size() && tile_pieces[last] - tile_pieces[first_tile] < batch_pieces) {
        ++last;
    }
    return last;
}

TileBatch::TileBatch(const ColumnReader& input, const Directory& directory, std::size_t first_tile,
                     std::size_t last_tile)
    : directory_{directory}, first_piece_{directory.tile_pieces[first_tile]} {
    const std::uint64_t end_piece = directory.tile_pieces[last_tile];
    piece_object_ = input.read(schema::piece_object, first_piece_, end_piece);
    covers_tile_ = input.read(schema::piece_covers_tile, first_piece_, end_piece);
    piece_parts_ = input.read(schema::piece_parts, first_piece_, end_piece + 1);
    check_offsets(piece_parts_, directory.parts, "piece/parts");
    first_part_ = piece_parts_.front();
    roles_ = input.read(schema::part_role, first_part_, piece_parts_.back());
    part_nodes_ = input.read(schema::part_nodes, first_part_, piece_parts_.back() + 1);
    check_offsets(part_nodes_, directory.nodes, "part/nodes");
    lonlat_ = input.read(schema::node_lonlat, part_nodes_.front(), part_nodes_.back());
}

PieceInput TileBatch::piece(std::uint64_t row) const {
    const std::size_t at = row - first_piece_;
    const std::uint32_t object = piece_object_[at];
    if (object >= directory_.osm_type.size()) {
        damaged("a piece of an object that is not there");
    }
    const std::size_t part = piece_parts_[at] - first_part_;
    const std::size_t end_part = piece_parts_[at + 1] - first_part_;
    check_parts(part, end_part);
    const bool covers_tile = covers_tile_[at] != 0;
    if (part == end_part && !covers_tile) {
        damaged("a piece without parts that does not cover its tile");
    }
    const std::uint64_t begin = part_nodes_[part] - part_nodes_.front();
    const std::uint64_t end = part_nodes_[end_part] - part_nodes_.front();
    return {static_cast<schema::OsmType>(directory_.osm_type[object]),
            directory_.osm_id[object],
            static_cast<schema::Kind>(directory_.kind[object]),
            covers_tile,
            std::span{roles_}.subspan(part, end_part - part),
            std::span{part_nodes_}.subspan(part, end_part - part + 1),
            std::span{lonlat_}.subspan(2 * begin, 2 * (end - begin))};
}

void TileBatch::check_parts(std::size_t first, std::size_t last) const {
    for (std::size_t part = first; part < last; ++part) {
        const bool is_ring = roles_[part] >= static_cast<std::uint8_t>(schema::Role::outer);
        if (roles_[part] > static_cast<std::uint8_t>(schema::Role::inner) ||
            part_nodes_[part + 1] - part_nodes_[part] < (is_ring ? 3U : 1U)) {
            damaged("a part of unknown role or with too few vertices");
        }
    }
}

}  // namespace geojepa
