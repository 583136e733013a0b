// The steps of `process`: check the options and the input, copy columns, process batches of tiles in parallel, and
// write them in order.
#include "process/process.hpp"

#include <cmath>

#include "columns/column_reader.hpp"
#include "columns/column_writer.hpp"
#include "errors.hpp"
#include "events.hpp"
#include "process/copy_columns.hpp"
#include "process/processed_columns.hpp"
#include "process/tile_batch.hpp"
#include "process/tile_processor.hpp"
#include "threads.hpp"
#include "worker_pool.hpp"

namespace geojepa {
namespace {

/// Memory for results that wait to be written. A batch of 8192 pieces of average size takes about 1 MiB.
constexpr std::uint64_t waiting_bytes = std::uint64_t{4} << 20U;

void check_options(const ProcessOptions& options) {
    if (!std::isfinite(options.simplify_m) || options.simplify_m < 0) {
        throw UsageError("--simplify-m must be 0 or more metres", {.options = {{"simplify-m", "0.5"}}});
    }
    if (!std::isfinite(options.min_side_m) || options.min_side_m <= 0) {
        throw UsageError("--min-side-m must be more than 0 metres", {.options = {{"min-side-m", "1.5"}}});
    }
}

void check_layout(const ColumnReader& input, const std::string& path) {
    const std::string kind = input.string_attribute("kind");
    if (kind != "tiles") {
        throw SchemaError("`" + path + "` has kind `" + kind + "`, `process` reads `tiles`");
    }
    const std::uint32_t version = input.u32_attribute("schema_version");
    if (version != schema::version) {
        throw SchemaError("`" + path + "` has schema " + std::to_string(version) + ", this version reads " +
                          std::to_string(schema::version));
    }
}

/// The result of a task.
struct ProcessedBatch {
    ProcessedRows rows;
    ProcessCounts counts;
    std::size_t last_tile = 0;  ///< one past the last tile of the batch

    std::uint64_t bytes() const noexcept { return rows.bytes(); }
};

ProcessedBatch process_batch(const Directory& directory, const Grid& grid, std::size_t first_tile,
                             std::size_t last_tile, TileProcessor& processor) {
    const TileBatch batch{directory, first_tile, last_tile};
    ProcessedBatch result;
    result.last_tile = last_tile;
    for (std::size_t tile = first_tile; tile < last_tile; ++tile) {
        processor.begin_tile(directory.frame(tile, grid));
        for (std::uint64_t row = directory.tile_pieces[tile]; row < directory.tile_pieces[tile + 1]; ++row) {
            processor.add_piece(batch.piece(row), result.rows, result.counts);
        }
        ++result.counts.tiles;
    }
    return result;
}

/// Processes every tile and appends the results in the order of the tiles.
ProcessCounts process_tiles(const ProcessOptions& options, const Directory& directory, const Grid& grid,
                            ProcessedColumns& columns) {
    const std::size_t tiles = directory.tile_x.size();
    Progress progress{"process", tiles};
    ProcessCounts counts;
    const std::uint32_t threads = worker_threads(options.threads);
    WorkerPool<TileProcessor, ProcessedBatch> pool{
        {.threads = threads, .tasks = threads + std::size_t{2}, .waiting_bytes = waiting_bytes},
        [&options] {
            return TileProcessor{options.simplify_m, options.visibility_k, options.min_side_m};
        },
        [&](const ProcessedBatch& batch) {
            columns.append(batch.rows);
            counts += batch.counts;
            progress.at(batch.last_tile);
        }};
    for (std::size_t first = 0, last = 0; first < tiles; first = last) {
        last = directory.batch_end(first);
        pool.submit([&directory, &grid, first, last](TileProcessor& processor) {
            return process_batch(directory, grid, first, last, processor);
        });
    }
    pool.finish();
    progress.finish();
    return counts;
}

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
    (void)worker_threads(options.threads);  // refuses too many before the output is created
    const ColumnReader input{options.input};
    check_layout(input, options.input);
    const Grid grid{input.u32_attribute("zoom")};
    const Directory directory{input};

    ColumnWriter output{options.output};
    output.set_attribute("schema_version", schema::version);
    output.set_attribute("kind", std::string{"processed"});
    output.set_attribute("zoom", grid.zoom());
    copy_unchanged_columns(input, output);
    ProcessedColumns columns{output, options.output, grid.zoom(), directory};
    const ProcessCounts counts = process_tiles(options, directory, grid, columns);
    columns.finish();
    output.close();
    write_counts(counts);
    return 0;
}

}  // namespace geojepa
