// The recipe of `process`: check, copy what stays, work through batches of tiles, write them in order.
#include "process/process.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>

#include "columns/column_spool.hpp"
#include "columns/columns.hpp"
#include "errors.hpp"
#include "events.hpp"
#include "process/tile_batch.hpp"
#include "process/tile_processor.hpp"

namespace geojepa {
namespace {

void check_options(const ProcessOptions& options) {
    if (!std::isfinite(options.simplify_m) || options.simplify_m < 0) {
        throw UsageError("--simplify-m must be 0 or more metres", "--simplify-m 0.5");
    }
    if (!std::isfinite(options.min_side_m) || options.min_side_m <= 0) {
        throw UsageError("--min-side-m must be more than 0 metres", "--min-side-m 1.5");
    }
}

void check_layout(const ColumnReader& input, const std::string& path) {
    const std::string kind = input.string_attribute("kind");
    if (kind != "tiles") {
        throw SchemaError("`" + path + "` has kind `" + kind + "`, `process` reads `tiles`", tile_hint);
    }
    const std::uint32_t version = input.u32_attribute("schema_version");
    if (version != schema::version) {
        throw SchemaError("`" + path + "` has schema " + std::to_string(version) + ", this version reads " +
                              std::to_string(schema::version),
                          tile_hint);
    }
}

template <typename T>
void copy_column(const ColumnReader& input, ColumnWriter& output, schema::Column<T> column) {
    constexpr std::size_t rows_at_once = std::size_t{1} << 18U;
    const MappedColumn<T> values = input.map(column);
    const std::size_t rows = values.size() / column.width;
    output.create(column, rows);
    for (std::size_t row = 0; row < rows; row += rows_at_once) {
        output.write_at(column, row,
                        values.view(row * column.width, std::min(rows, row + rows_at_once) * column.width));
    }
}

/// Offsets with four bytes each, where the last one fits.
void copy_offsets(const ColumnReader& input, ColumnWriter& output, schema::Column<std::uint64_t> wide,
                  schema::Column<std::uint32_t> narrow) {
    const MappedColumn<std::uint64_t> offsets = input.map(wide);
    if (offsets.size() == 0 || !std::is_sorted(offsets.view().begin(), offsets.view().end())) {
        throw InputError(std::string{"the input is damaged: the offsets of `"} + wide.path + "` do not rise",
                         tile_hint);
    }
    if (offsets[offsets.size() - 1] > std::numeric_limits<std::uint32_t>::max()) {
        copy_column(input, output, wide);
        return;
    }
    ColumnStream<std::uint32_t> copied{output, narrow, offsets.size()};
    for (const std::uint64_t offset : offsets.view()) {
        copied.push(static_cast<std::uint32_t>(offset));
    }
    copied.flush();
}

/// A relation's members as rows that name it: of the objects few are relations.
void copy_members(const ColumnReader& input, ColumnWriter& output) {
    const MappedColumn<std::uint64_t> members = input.map(schema::object_members);
    const std::size_t rows = input.rows(schema::member_object);
    if (members.size() == 0 || members[0] != 0 || members[members.size() - 1] != rows) {
        throw InputError("the input is damaged: `object/members` does not hold every member", tile_hint);
    }
    ColumnStream<std::uint32_t> relation{output, schema::member_relation, rows};
    std::size_t object = 0;
    for (std::size_t row = 0; row < rows; ++row) {
        while (members[object + 1] <= row) {
            ++object;
        }
        relation.push(static_cast<std::uint32_t>(object));
    }
    relation.flush();
    copy_column(input, output, schema::member_object);
    copy_column(input, output, schema::member_role);
}

/// Everything but vertices, boxes and edges stays as it is; what only tells of the input is left behind.
void copy_unchanged(const ColumnReader& input, ColumnWriter& output) {
    const auto copy = [&](auto... columns) { (copy_column(input, output, columns), ...); };
    copy(schema::tile_z, schema::tile_x, schema::tile_y, schema::tile_east_m, schema::tile_north_m);
    copy_offsets(input, output, schema::tile_pieces, schema::tile_pieces_u32);
    copy(schema::object_osm_type, schema::object_osm_id, schema::object_kind, schema::object_token);
    copy_offsets(input, output, schema::object_tags, schema::object_tags_u32);
    copy(schema::piece_object, schema::piece_area_m2, schema::piece_length_m, schema::piece_covers_tile);
    copy_offsets(input, output, schema::piece_parts, schema::piece_parts_u32);
    copy(schema::part_role, schema::tag_vocab);
    copy_members(input, output);
    copy_offsets(input, output, schema::role_text, schema::role_text_u32);
    copy_offsets(input, output, schema::vocab_key, schema::vocab_key_u32);
    copy_offsets(input, output, schema::vocab_value, schema::vocab_value_u32);
    copy(schema::role_text_utf8, schema::vocab_key_utf8, schema::vocab_value_utf8, schema::vocab_count);
}

/// A rectangle without what follows from the rest: centre, half of the first side, ratio of the second to the first.
struct BoxRow {
    std::array<double, 2> centre;
    std::array<float, 3> side;
};

BoxRow box_row(const StoredBox& box) {
    const std::array<double, 2> along{(double{box[2]} - double{box[0]}) / 2, (double{box[3]} - double{box[1]}) / 2};
    const std::array<double, 2> across{(double{box[6]} - double{box[0]}) / 2, (double{box[7]} - double{box[1]}) / 2};
    const double ratio = std::hypot(across[0], across[1]) / std::hypot(along[0], along[1]);
    return {{(double{box[0]} + double{box[4]}) / 2, (double{box[1]} + double{box[5]}) / 2},
            {static_cast<float>(along[0]), static_cast<float>(along[1]), static_cast<float>(ratio)}};
}

/// The columns that `process` adds, filled batch after batch. Vertices and edges wait in spools for their number.
class ProcessedColumns {
public:
    ProcessedColumns(ColumnWriter& writer, const std::string& path, std::uint32_t zoom, const Directory& directory)
        : writer_{writer},
          lattice_{lattice_of(zoom)},
          xy_u16_{path, schema::node_xy_u16},
          xy_f32_{path, schema::node_xy_f32},
          ends_{path, schema::edge_ends},
          piece_edges_{path, schema::piece_edges_u32, schema::piece_edges},
          part_nodes_{path, schema::part_nodes_u32, schema::part_nodes},
          is_u16_{lattice_.low >= 0} {
        writer_.create(schema::piece_box_side, directory.pieces);
        if (is_u16_) {
            writer_.create(schema::piece_box_centre_u16, directory.pieces);
        } else {
            writer_.create(schema::piece_box_centre_f32, directory.pieces);
        }
    }

    void append(const ProcessedRows& rows) {
        append_boxes(rows.boxes);
        append_nodes(rows.nodes);
        piece_edges_.append(rows.edge_counts);
        part_nodes_.append(rows.part_sizes);
        ends_.append(flat<std::uint32_t>(rows.edges));
    }

    void finish() {
        if (is_u16_) {
            xy_u16_.move_to(writer_);
        } else {
            xy_f32_.move_to(writer_);
        }
        piece_edges_.move_to(writer_);
        part_nodes_.move_to(writer_);
        ends_.move_to(writer_);
    }

private:
    template <typename T, std::size_t Width>
    static std::span<const T> flat(const std::vector<std::array<T, Width>>& rows) {
        return {rows.empty() ? nullptr : rows.front().data(), rows.size() * Width};
    }

    void append_boxes(const std::vector<StoredBox>& boxes) {
        std::vector<std::array<float, 3>> sides;
        std::vector<std::array<std::uint16_t, 2>> centres_u16;
        std::vector<std::array<float, 2>> centres_f32;
        for (const StoredBox& box : boxes) {
            const auto& [centre, side] = box_row(box);
            sides.push_back(side);
            if (is_u16_) {
                centres_u16.push_back({fixed_point(centre[0]), fixed_point(centre[1])});
            } else {
                centres_f32.push_back({static_cast<float>(centre[0]), static_cast<float>(centre[1])});
            }
        }
        writer_.write_at(schema::piece_box_side, pieces_, flat<float>(sides));
        if (is_u16_) {
            writer_.write_at(schema::piece_box_centre_u16, pieces_, flat<std::uint16_t>(centres_u16));
        } else {
            writer_.write_at(schema::piece_box_centre_f32, pieces_, flat<float>(centres_f32));
        }
        pieces_ += boxes.size();
    }

    std::uint16_t fixed_point(double tile_units) const {
        const double value = std::round(tile_units * lattice_.scale) + lattice_.offset;
        return static_cast<std::uint16_t>(std::clamp(value, 0.0, double{std::numeric_limits<std::uint16_t>::max()}));
    }

    void append_nodes(std::span<const LatticePoint> nodes) {
        if (is_u16_) {
            std::vector<std::uint16_t> values;
            values.reserve(2 * nodes.size());
            for (const LatticePoint node : nodes) {
                values.push_back(static_cast<std::uint16_t>(node.x));
                values.push_back(static_cast<std::uint16_t>(node.y));
            }
            xy_u16_.append(values);
            return;
        }
        std::vector<float> values;
        values.reserve(2 * nodes.size());
        for (const LatticePoint node : nodes) {
            values.push_back(static_cast<float>(node.x / lattice_.scale));
            values.push_back(static_cast<float>(node.y / lattice_.scale));
        }
        xy_f32_.append(values);
    }

    ColumnWriter& writer_;
    Lattice lattice_;
    ColumnSpool<std::uint16_t> xy_u16_;
    ColumnSpool<float> xy_f32_;
    ColumnSpool<std::uint32_t> ends_;
    OffsetSpool piece_edges_;
    OffsetSpool part_nodes_;
    bool is_u16_;
    std::size_t pieces_ = 0;
};

/// Batches go to whichever thread is free and come back in their own order, so that the output does not depend on
/// the number of threads. At most one batch a thread is in memory.
class Conveyor {
public:
    Conveyor(const ProcessOptions& options, const Directory& directory, const Grid& grid, ProcessedColumns& columns)
        : options_{options}, directory_{directory}, grid_{grid}, columns_{columns} {}

    ProcessCounts run(std::uint32_t thread_count) {
        Progress progress{"process", directory_.tile_x.size()};
        progress_ = &progress;
        std::vector<std::jthread> threads;
        for (std::uint32_t at = 1; at < thread_count; ++at) {
            threads.emplace_back([this] { work(); });
        }
        work();
        threads.clear();
        if (failure_) {
            std::rethrow_exception(failure_);
        }
        progress.finish();
        return counts_;
    }

private:
    void work() noexcept {
        try {
            TileProcessor processor{options_.simplify_m, options_.visibility_k, options_.min_side_m};
            while (take_turn(processor)) {
            }
        } catch (...) {
            const std::lock_guard lock{mutex_};
            if (!failure_) {
                failure_ = std::current_exception();
            }
            turn_.notify_all();
        }
    }

    /// Takes the next batch, works on it and hands it in when it is its turn. False when there is none.
    bool take_turn(TileProcessor& processor) {
        std::size_t number = 0;
        std::size_t first = 0;
        std::size_t last = 0;
        {
            const std::lock_guard lock{mutex_};
            if (failure_ || next_tile_ == directory_.tile_x.size()) {
                return false;
            }
            number = taken_++;
            first = next_tile_;
            last = next_tile_ = directory_.batch_end(first);
        }
        const TileBatch batch{directory_, first, last};
        ProcessedRows rows;
        ProcessCounts counts;
        for (std::size_t tile = first; tile < last; ++tile) {
            process_tile(tile, batch, processor, rows, counts);
        }
        std::unique_lock lock{mutex_};
        turn_.wait(lock, [&] { return failure_ || handed_in_ == number; });
        if (failure_) {
            return false;
        }
        columns_.append(rows);
        counts_ += counts;
        ++handed_in_;
        progress_->at(last);
        turn_.notify_all();
        return true;
    }

    void process_tile(std::size_t tile, const TileBatch& batch, TileProcessor& processor, ProcessedRows& rows,
                      ProcessCounts& counts) const {
        processor.begin_tile(directory_.frame(tile, grid_));
        for (std::uint64_t row = directory_.tile_pieces[tile]; row < directory_.tile_pieces[tile + 1]; ++row) {
            processor.add_piece(batch.piece(row), rows, counts);
        }
        ++counts.tiles;
    }

    const ProcessOptions& options_;
    const Directory& directory_;
    const Grid& grid_;
    ProcessedColumns& columns_;
    Progress* progress_ = nullptr;
    std::mutex mutex_;
    std::condition_variable turn_;
    std::size_t next_tile_ = 0;
    std::size_t taken_ = 0;
    std::size_t handed_in_ = 0;
    std::exception_ptr failure_;
    ProcessCounts counts_;
};

void write_counts(const ProcessCounts& counts) {
    JsonObject values;
    values.add("tiles", counts.tiles)
        .add("pieces", counts.pieces)
        .add("parts", counts.parts)
        .add("nodes_in", counts.nodes_in)
        .add("nodes_out", counts.nodes_out)
        .add("nodes_clamped", counts.nodes_clamped)
        .add("edges", counts.edges)
        .add("boxes_grown", counts.boxes_grown)
        .add("rings_refined", counts.rings.refined)
        .add("rings_nudged", counts.rings.nudged)
        .add("rings_crossing", counts.rings.crossing);
    JsonObject summary;
    summary.add("counts", values);
    write_summary(summary);
}

}  // namespace

int run_process(const ProcessOptions& options) {
    check_options(options);
    const ColumnReader input{options.input};
    check_layout(input, options.input);
    const Grid grid{input.u32_attribute("zoom")};
    const Directory directory{input};

    ColumnWriter output{options.output};
    output.set_attribute("schema_version", schema::version);
    output.set_attribute("kind", std::string{"processed"});
    output.set_attribute("zoom", grid.zoom());
    copy_unchanged(input, output);
    ProcessedColumns columns{output, options.output, grid.zoom(), directory};
    const std::uint32_t processors = std::max(1U, std::thread::hardware_concurrency());
    Conveyor conveyor{options, directory, grid, columns};
    const ProcessCounts counts = conveyor.run(options.threads == 0 ? processors : options.threads);
    columns.finish();
    output.close();
    write_counts(counts);
    return 0;
}

}  // namespace geojepa
