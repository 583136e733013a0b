// The lengths of the long columns are known before the pieces are merged, so the merge streams into them.
#include "columns/tiles_file.hpp"

#include <vector>

#include "clip/enu.hpp"
#include "columns/column_writer.hpp"
#include "events.hpp"

namespace geojepa {
namespace {

class PieceColumns {
public:
    PieceColumns(ColumnWriter& writer, const Grid& grid, ArrayMemory& arrays, const PieceSorter::Totals& totals)
        : writer_(&writer),
          grid_(&grid),
          object_(writer, schema::piece_object, totals.pieces),
          area_(writer, schema::piece_area_m2, totals.pieces),
          length_(writer, schema::piece_length_m, totals.pieces),
          covers_(writer, schema::piece_covers_tile, totals.pieces),
          parts_(writer, schema::piece_parts, totals.pieces + 1),
          role_(writer, schema::part_role, totals.parts),
          part_nodes_(writer, schema::part_nodes, totals.parts + 1),
          lonlat_(writer, schema::node_lonlat, totals.nodes),
          z_(arrays),
          x_(arrays),
          y_(arrays),
          east_m_(arrays),
          north_m_(arrays),
          tile_pieces_(arrays) {
        parts_.push(0);
        part_nodes_.push(0);
    }

    void add(const PieceView& piece, std::uint32_t row) {
        begin_tile(piece.header.key.tile);
        object_.push(row);
        area_.push(piece.header.area_m2);
        length_.push(piece.header.length_m);
        covers_.push(static_cast<std::uint8_t>(piece.header.covers_tile));
        for (std::size_t i = 0; i < piece.roles.size(); ++i) {
            role_.push(static_cast<std::uint8_t>(piece.roles[i]));
            counts_.nodes += piece.part_nodes[i];
            part_nodes_.push(counts_.nodes);
        }
        for (const Position position : piece.nodes) {
            lonlat_.push(position.lon);
            lonlat_.push(position.lat);
        }
        counts_.parts += piece.roles.size();
        counts_.covering_pieces += piece.header.covers_tile;
        parts_.push(counts_.parts);
        ++counts_.pieces;
    }

    FileCounts finish() {
        tile_pieces_.push_back(counts_.pieces);
        object_.flush();
        area_.flush();
        length_.flush();
        covers_.flush();
        parts_.flush();
        role_.flush();
        part_nodes_.flush();
        lonlat_.flush();
        writer_->write(schema::tile_z, z_.view());
        writer_->write(schema::tile_x, x_.view());
        writer_->write(schema::tile_y, y_.view());
        writer_->write(schema::tile_east_m, east_m_.view());
        writer_->write(schema::tile_north_m, north_m_.view());
        writer_->write(schema::tile_pieces, tile_pieces_.view());
        counts_.tiles = z_.size();
        return counts_;
    }

private:
    void begin_tile(std::uint64_t key) {
        if (!z_.empty() && key == tile_key_) {
            return;
        }
        tile_key_ = key;
        const TileIndex tile = grid_->from_sort_key(key);
        const Bounds b = grid_->bounds(tile);
        const GroundSize size = tile_ground_size(b.west / units_per_degree, b.south / units_per_degree,
                                                 b.east / units_per_degree, b.north / units_per_degree);
        z_.push_back(static_cast<std::uint8_t>(grid_->zoom()));
        x_.push_back(tile.x);
        y_.push_back(tile.y);
        east_m_.push_back(size.east_m);
        north_m_.push_back(size.north_m);
        tile_pieces_.push_back(counts_.pieces);
    }

    ColumnWriter* writer_;
    const Grid* grid_;
    FileCounts counts_;
    std::uint64_t tile_key_ = 0;
    ColumnStream<std::uint32_t> object_;
    ColumnStream<float> area_;
    ColumnStream<float> length_;
    ColumnStream<std::uint8_t> covers_;
    ColumnStream<std::uint64_t> parts_;
    ColumnStream<std::uint8_t> role_;
    ColumnStream<std::uint64_t> part_nodes_;
    ColumnStream<std::int32_t> lonlat_;
    LongArray<std::uint8_t> z_;
    LongArray<std::uint32_t> x_;
    LongArray<std::uint32_t> y_;
    LongArray<double> east_m_;
    LongArray<double> north_m_;
    LongArray<std::uint64_t> tile_pieces_;
};

}  // namespace

FileCounts write_tiles_file(const std::string& path, const Grid& grid, ArrayMemory& arrays, ObjectTable& objects,
                            PieceSorter& pieces) {
    ColumnWriter writer{path};
    writer.set_attribute("schema_version", schema::version);
    writer.set_attribute("kind", std::string{"tiles"});
    writer.set_attribute("zoom", grid.zoom());
    const ObjectTable::Counts object_counts = objects.write(writer);
    PieceColumns columns{writer, grid, arrays, pieces.totals()};
    Progress progress{"write tiles", pieces.totals().pieces};
    PieceView piece;
    std::uint64_t done = 0;
    pieces.for_each([&](std::span<const std::byte> record) {
        piece.decode(grid, record);
        columns.add(piece, objects.row_of(piece.header.object));
        if (++done % 4096 == 0) {
            progress.at(done);
        }
    });
    FileCounts counts = columns.finish();
    counts.objects = object_counts;
    writer.close();
    progress.finish();
    return counts;
}

}  // namespace geojepa
