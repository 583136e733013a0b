// The recipe of `process`: check, copy what stays, work through batches of tiles, write them in order.
#include "process.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "column_spool.hpp"
#include "columns.hpp"
#include "errors.hpp"
#include "events.hpp"
#include "tile_batch.hpp"
#include "tile_processor.hpp"

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

/// Everything but vertices, boxes and edges stays as it is.
void copy_unchanged(const ColumnReader& input, ColumnWriter& output) {
    const auto copy = [&](auto... columns) { (copy_column(input, output, columns), ...); };
    copy(schema::tile_z, schema::tile_x, schema::tile_y, schema::tile_east_m, schema::tile_north_m,
         schema::tile_pieces);
    copy(schema::object_osm_type, schema::object_osm_id, schema::object_version, schema::object_kind,
         schema::object_token, schema::object_absent_members, schema::object_tags, schema::object_members);
    copy(schema::piece_object, schema::piece_area_m2, schema::piece_length_m, schema::piece_covers_tile,
         schema::piece_parts, schema::part_role);
    copy(schema::member_object, schema::member_role, schema::role_text, schema::role_text_utf8, schema::tag_vocab);
    copy(schema::vocab_key, schema::vocab_key_utf8, schema::vocab_value, schema::vocab_value_utf8, schema::vocab_count);
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
          is_u16_{lattice_.low >= 0} {
        writer_.create(schema::piece_box, directory.pieces);
        writer_.create(schema::piece_edges, directory.pieces + 1);
        writer_.create(schema::part_nodes, directory.parts + 1);
        const std::array<std::uint64_t, 1> zero{0};
        writer_.write_at(schema::piece_edges, 0, zero);
        writer_.write_at(schema::part_nodes, 0, zero);
    }

    void append(const ProcessedRows& rows) {
        writer_.write_at(schema::piece_box, pieces_, flat<float>(rows.boxes));
        append_offsets(schema::piece_edges, pieces_ + 1, rows.edge_counts, edge_count_);
        append_offsets(schema::part_nodes, parts_ + 1, rows.part_sizes, node_count_);
        append_nodes(rows.nodes);
        ends_.append(flat<std::uint32_t>(rows.edges));
        pieces_ += rows.boxes.size();
        parts_ += rows.part_sizes.size();
    }

    void finish() {
        if (is_u16_) {
            xy_u16_.move_to(writer_);
        } else {
            xy_f32_.move_to(writer_);
        }
        ends_.move_to(writer_);
    }

private:
    template <typename T, std::size_t Width>
    static std::span<const T> flat(const std::vector<std::array<T, Width>>& rows) {
        return {rows.empty() ? nullptr : rows.front().data(), rows.size() * Width};
    }

    void append_offsets(schema::Column<std::uint64_t> column, std::size_t row, std::span<const std::uint32_t> sizes,
                        std::uint64_t& total) {
        std::vector<std::uint64_t> ends;
        ends.reserve(sizes.size());
        for (const std::uint32_t size : sizes) {
            ends.push_back(total += size);
        }
        writer_.write_at(column, row, ends);
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
    bool is_u16_;
    std::size_t pieces_ = 0;
    std::size_t parts_ = 0;
    std::uint64_t node_count_ = 0;
    std::uint64_t edge_count_ = 0;
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
