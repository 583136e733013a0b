// The recipe of `tile`: relations, then nodes and ways, then the relations' geometry, then the file.
#include "clip/tile.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <limits>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "clip/cut.hpp"
#include "clip/tile_set.hpp"
#include "columns/object_table.hpp"
#include "columns/piece_sorter.hpp"
#include "columns/tiles_file.hpp"
#include "errors.hpp"
#include "events.hpp"
#include "read/duplicates.hpp"
#include "read/inline_positions.hpp"
#include "read/polygon_file.hpp"
#include "worker_pool.hpp"

namespace geojepa {
namespace {

constexpr std::size_t relations_per_task = 64;
constexpr std::size_t members_per_task = 1024;
constexpr std::uint32_t most_threads = 256;
constexpr std::uint64_t least_memory = std::uint64_t{64} << 20U;
constexpr std::uint32_t most_arenas = 4;
/// Asks for the nodes of ways and relations too, so that their shapes are in the answer.
constexpr const char* overpass_statement = "out body; >; out skel qt;";

TileWindow window_of(const Grid& grid, const std::optional<std::array<double, 4>>& bbox) {
    if (!bbox) {
        return {{0, 0}, {grid.side() - 1, grid.side() - 1}};
    }
    const auto [west, south, east, north] = *bbox;
    const bool numbers = std::isfinite(west) && std::isfinite(south) && std::isfinite(east) && std::isfinite(north);
    if (!numbers || west >= east || south >= north || west < -180 || east > 180 || south < -90 || north > 90) {
        throw UsageError("--bbox is west,south,east,north in degrees, west below east and south below north",
                         "--bbox=-77.90,40.76,-77.82,40.82");
    }
    TileWindow window{{grid.column(west * units_per_degree), grid.row(north * units_per_degree)},
                      {grid.column(east * units_per_degree), grid.row(south * units_per_degree)}};
    if (window.last.x > window.first.x && grid.west_edge(window.last.x) >= east * units_per_degree) {
        --window.last.x;
    }
    if (window.last.y > window.first.y && grid.north_edge(window.last.y) <= south * units_per_degree) {
        --window.last.y;
    }
    return window;
}

std::optional<TileSet> tiles_of_polygon(const Grid& grid, const TileOptions& options) {
    if (options.polygon.empty()) {
        return std::nullopt;
    }
    if (options.bbox) {
        throw UsageError("--bbox and --polygon exclude each other", "--polygon " + options.polygon);
    }
    TileSet tiles{grid, read_polygons(options.polygon)};
    if (tiles.empty()) {
        throw InputError("the polygons of `" + options.polygon + "` meet no tile; longitude comes before latitude",
                         "--polygon area.geojson");
    }
    return tiles;
}

using CutterPool = WorkerPool<Cutter, CutResult>;

/// How `--memory` and `--threads` are shared out. What is not given here is for the program itself, the reader's
/// queues and the batches under way; where memory is short these are kept few, and so are the threads that hold them.
struct Plan {
    explicit Plan(const TileOptions& options) {
        const std::uint64_t shared = options.memory > 2 * reserved ? options.memory - reserved : options.memory / 2;
        arrays = shared / 2;
        records = shared / 4;
        vocabulary = shared / 8;
        threads = options.threads > 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
        threads = at_most(threads, options.memory / per_thread);
        decoders = at_most(threads, options.memory / per_decoder);
        const std::uint64_t waiting_bytes = shared / 16;
        batches = {threads, threads + 2 + std::min(options.memory / per_batch, most_waiting), waiting_bytes};
        const std::uint32_t assemblers = at_most(threads, options.memory / per_assembler);
        relations = {assemblers, assemblers + 2, waiting_bytes};
    }

    static constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20U;
    static constexpr std::uint64_t reserved = 32 * mebibyte;
    static constexpr std::uint64_t per_thread = 24 * mebibyte;
    static constexpr std::uint64_t per_decoder = 64 * mebibyte;
    static constexpr std::uint64_t per_assembler = 128 * mebibyte;
    static constexpr std::uint64_t per_batch = 40 * mebibyte;  // ten times what a batch of ways takes
    static constexpr std::uint64_t most_waiting = 16;
    std::uint64_t arrays;
    std::uint64_t records;
    std::uint64_t vocabulary;
    std::uint32_t threads;
    std::uint32_t decoders;
    CutterPool::Limits batches;    // of nodes or ways
    CutterPool::Limits relations;  // one of which may take far more

private:
    static std::uint32_t at_most(std::uint32_t threads, std::uint64_t limit) {
        return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(limit, 1, threads));
    }
};

/// One run over the inputs. In sorted order everything is read in two passes; otherwise nodes and ways have a pass
/// each, after one that looks for repeated ids.
class Tiler {
public:
    explicit Tiler(const TileOptions& options)
        : options_(&options),
          plan_(options),
          grid_(options.zoom),
          only_(tiles_of_polygon(grid_, options)),
          window_(only_ ? only_->window() : window_of(grid_, options.bbox)),
          filter_(options.keep_tags, options.drop_tags),
          arrays_(directory_of(options.output), plan_.arrays),
          superseded_(arrays_),
          locations_(arrays_),
          inline_positions_(arrays_),
          relations_(arrays_),
          member_ways_(arrays_),
          objects_(arrays_, plan_.vocabulary),
          pieces_(grid_, arrays_, plan_.records) {}

    /// Reads the relations, and with them all that is not an element.
    const InputNotes& read_relations() {
        Reader reader{options_->inputs, {false, false, true}};
        Progress progress{"read relations", reader.size()};
        Batch batch{nullptr};
        while (reader.next(batch)) {
            const Elements elements = batch.unpack(schema::OsmType::relation);
            relations_.add(elements);
            inline_positions_.add_members(elements);
            progress.at(reader.offset());
        }
        progress.finish();
        relations_.finish();
        return notes_ = reader.notes();
    }

    /// Returns false where the input is not sorted, or has positions on its ways: then this object is of no more use.
    bool read_sorted() {
        inline_positions_.finish();
        Reader reader{options_->inputs, {true, true, false}};
        Progress progress{"read nodes and ways", reader.size()};
        const auto pool = make_pool(plan_.batches);
        Batch batch{nullptr};
        std::int64_t last_node = std::numeric_limits<std::int64_t>::min();
        std::int64_t last_way = last_node;
        bool ways_began = false;
        while (reader.next(batch)) {
            batch.outline(schema::OsmType::node, outlines_);
            if (!ids_rise(last_node) || (ways_began && !outlines_.empty())) {
                return false;
            }
            add_locations();
            if (batch.has_way_positions()) {
                return false;
            }
            if (batch.ways() > 0) {
                if (!std::exchange(ways_began, true)) {
                    pool->finish();
                    locations_.finish();
                }
                batch.outline(schema::OsmType::way, outlines_);
                if (!ids_rise(last_way)) {
                    return false;
                }
            }
            submit(*pool, batch);
            progress.at(reader.offset());
        }
        pool->finish();
        locations_.finish();
        progress.finish();
        return true;
    }

    void find_repeated() { find_superseded(options_->inputs, arrays_, superseded_); }

    void read_unsorted() {
        read_pass("read nodes", {true, false, false});
        locations_.finish();
        read_inline_positions();
        read_pass("read ways", {false, true, false});
        dropped_["older version of a node"] = superseded_.nodes.size();
        dropped_["older version of a way"] = superseded_.ways.size();
    }

    void cut_relations() {
        member_ways_.finish();
        Progress progress{"assemble relations", relations_.size()};
        const auto pool = make_pool(plan_.relations);
        for (std::size_t first = 0, last = 0; first < relations_.size(); first = last) {
            std::size_t members = 0;
            while (last < relations_.size() && last - first < relations_per_task && members < members_per_task) {
                members += relations_.members_of(last++);
            }
            pool->submit([first, last](Cutter& cutter) { return cutter.relations(first, last); });
            progress.at(first);
        }
        pool->finish();
        progress.finish();
        dropped_["older version of a relation"] = relations_.superseded();
        dropped_["relation marked as deleted"] = relations_.deleted();
        // Of no more use; where they are in files, the output takes their room.
        locations_ = LocationIndex{arrays_};
        member_ways_ = MemberWays{arrays_};
    }

    JsonObject write() {
        if (centre_only_ > 0) {
            throw InputError(
                "ways and relations of which the input gives the centre only, as Overpass's `out center` does: " +
                    std::to_string(centre_only_) + "; their shape is not in the input",
                overpass_statement);
        }
        if (objects_.size() == 0 || pieces_.totals().pieces == 0) {
            const bool elsewhere = (options_->bbox || only_) && nodes_read_ > unlocated_nodes_;
            const bool bare = notes_.overpass && nodes_read_ == unlocated_nodes_ && ways_read_ + nodes_read_ > 0;
            throw InputError(reason_for_nothing(), elsewhere ? "--bbox=" + extent() : bare ? overpass_statement : "");
        }
        objects_.finish();
        const FileCounts file = write_tiles_file(options_->output, grid_, arrays_, objects_, pieces_);
        return summary(file);
    }

private:
    static std::string directory_of(const std::string& output) {
        const std::filesystem::path parent = std::filesystem::path{output}.parent_path();
        return parent.empty() ? "." : parent.string();
    }

    std::unique_ptr<CutterPool> make_pool(CutterPool::Limits limits) {
        const CutContext context{&grid_,      window_,       only_ ? &*only_ : nullptr,
                                 &filter_,    &locations_,   &inline_positions_,
                                 &relations_, &member_ways_, &superseded_};
        return std::make_unique<CutterPool>(
            limits, [context] { return Cutter{context}; }, [this](CutResult result) { take(std::move(result)); });
    }

    void read_pass(const char* stage, ElementTypes types) {
        Reader reader{options_->inputs, types};
        Progress progress{stage, reader.size()};
        const auto pool = make_pool(plan_.batches);
        Batch batch{nullptr};
        while (reader.next(batch)) {
            batch.outline(schema::OsmType::node, outlines_);
            add_locations();
            submit(*pool, batch);
            progress.at(reader.offset());
        }
        pool->finish();
        progress.finish();
    }

    /// Takes positions that stand on ways, for nodes that the input does not have.
    void read_inline_positions() {
        Reader reader{options_->inputs, {false, true, false}};
        Progress progress{"read positions of ways", reader.size()};
        LocationIndex::Cursor cursor{locations_};
        Batch batch{nullptr};
        while (reader.next(batch)) {
            if (batch.has_way_positions() || !superseded_.bare_ways.empty()) {
                add_inline_positions(batch.unpack(schema::OsmType::way), cursor);
            }
            progress.at(reader.offset());
        }
        progress.finish();
        inline_positions_.finish();
    }

    void add_inline_positions(const Elements& ways, LocationIndex::Cursor& cursor) {
        for (const Element& way : ways.rows) {
            const std::span<const std::int64_t> refs = ways.refs_of(way);
            if (!ways.ref_positions.empty() && !way.deleted) {
                inline_positions_.add_way(way.id, refs, ways.ref_positions_of(way));
            }
            if (std::binary_search(superseded_.bare_ways.begin(), superseded_.bare_ways.end(), way.id)) {
                std::vector<Position> positions;
                for (const std::int64_t ref : refs) {
                    positions.push_back(cursor.find(ref).value_or(nowhere));
                }
                inline_positions_.add_shape(way.id, positions);
            }
        }
    }

    /// Whether each id in `outlines_` is above the one before, `last` being the one before the first.
    bool ids_rise(std::int64_t& last) const {
        return std::ranges::all_of(
            outlines_, [&](const Outline& element) { return element.id > std::exchange(last, element.id); });
    }

    /// Takes the nodes in `outlines_`.
    void add_locations() {
        for (const Outline& node : outlines_) {
            ++nodes_read_;
            const bool superseded =
                !superseded_.nodes.empty() &&
                std::binary_search(superseded_.nodes.begin(), superseded_.nodes.end(), node.sequence);
            if (node.located && !node.deleted && !superseded) {
                locations_.add(node.id, node.position);
                lowest_ = {std::min(lowest_.lon, node.position.lon), std::min(lowest_.lat, node.position.lat)};
                highest_ = {std::max(highest_.lon, node.position.lon), std::max(highest_.lat, node.position.lat)};
            } else if (!node.located && !node.deleted) {
                ++unlocated_nodes_;
            }
        }
    }

    void submit(CutterPool& pool, const Batch& batch) {
        if (batch.nodes() > 0) {
            pool.submit([batch](Cutter& cutter) { return cutter.nodes(batch); });
        }
        if (batch.ways() > 0) {
            ways_read_ += batch.ways();
            pool.submit([batch](Cutter& cutter) { return cutter.ways(batch); });
        }
    }

    /// Takes a worker's result, on the thread that reads.
    void take(CutResult result) {
        std::size_t record = 0;
        std::size_t covered = 0;
        for (const CutObject& object : result.objects) {
            const std::uint32_t number = objects_.add(object, result);
            ++kinds_[static_cast<std::size_t>(object.kind)];
            ++tokens_[static_cast<std::size_t>(object.token)];
            incomplete_ += object.absent_members > 0 ? 1 : 0;
            for (const std::size_t last = record + object.pieces; record < last; ++record) {
                set_object(std::span{result.pieces.bytes}.subspan(result.pieces.first_bytes[record]), number);
            }
            for (const std::size_t last = covered + object.covered; covered < last; ++covered) {
                result.pieces.covered[covered].object = number;
            }
        }
        pieces_.add(result.pieces);
        member_ways_.append(result.member_ways);
        for (const auto& [reason, count] : result.dropped) {
            dropped_[reason] += count;
        }
        for (const auto& [reason, count] : result.repaired) {
            repaired_[reason] += count;
        }
        dropped_tags_ += result.dropped_tags;
        centre_only_ += result.centre_only;
    }

    /// A box around all nodes, as `--bbox` takes it.
    std::string extent() const {
        constexpr double steps = 1e4;  // a degree
        const auto down = [](std::int32_t units) { return std::floor(units / units_per_degree * steps) / steps; };
        const auto up = [](std::int32_t units) { return std::floor(units / units_per_degree * steps + 1) / steps; };
        std::ostringstream text;
        text << std::fixed << std::setprecision(4) << down(lowest_.lon) << ',' << down(lowest_.lat) << ','
             << std::min(up(highest_.lon), 180.0) << ',' << std::min(up(highest_.lat), 90.0);
        return text.str();
    }

    std::string reason_for_nothing() const {
        if (nodes_read_ + ways_read_ + relations_.size() == 0) {
            return notes_.changesets > 0 ? "the input holds changesets and no map data" : "the input holds no data";
        }
        if (nodes_read_ == 0) {
            return "the input holds no nodes, so its ways have no position";
        }
        if (unlocated_nodes_ == nodes_read_) {
            return "no node of the input has a position on the globe";
        }
        if (only_) {
            return "no object with tags in the polygon";
        }
        return options_->bbox ? "no object with tags in the box" : "no object with tags that lies in a tile";
    }

    JsonObject summary(const FileCounts& file) const {
        JsonObject counts;
        counts.add("nodes", nodes_read_)
            .add("ways", ways_read_)
            .add("relations", std::uint64_t{relations_.size()})
            .add("objects", std::uint64_t{objects_.size()})
            .add("points", kinds_[0])
            .add("lines", kinds_[1])
            .add("areas", kinds_[2])
            .add("relation_objects", kinds_[3])
            .add("boundaries", tokens_[1])
            .add("restrictions", tokens_[2])
            .add("objects_with_absent_members", incomplete_)
            .add("pieces", file.pieces)
            .add("covering_pieces", file.covering_pieces)
            .add("parts", file.parts)
            .add("vertices", file.nodes)
            .add("tiles", file.tiles)
            .add("tags", file.objects.tags)
            .add("vocabulary", file.objects.vocab)
            .add("members", file.objects.members)
            .add("nodes_without_position", unlocated_nodes_)
            .add("tags_dropped", dropped_tags_)
            .add("dropped", to_json(dropped_))
            .add("repaired", to_json(repaired_));
        JsonObject whole;
        whole.add("command", "tile").add("output", options_->output).add("zoom", grid_.zoom()).add("counts", counts);
        return whole;
    }

    static JsonObject to_json(const Reasons& reasons) {
        JsonObject json;
        for (const auto& [reason, count] : reasons) {
            if (count > 0) {
                json.add(reason, count);
            }
        }
        return json;
    }

    const TileOptions* options_;
    Plan plan_;
    Grid grid_;
    std::optional<TileSet> only_;
    TileWindow window_;
    TagFilter filter_;
    ArrayMemory arrays_;
    Superseded superseded_;
    LocationIndex locations_;
    InlinePositions inline_positions_;
    InputNotes notes_;
    RelationTable relations_;
    MemberWays member_ways_;
    ObjectTable objects_;
    PieceSorter pieces_;
    std::vector<Outline> outlines_;  // of the batch under way
    Position lowest_{std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::max()};
    Position highest_{std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::min()};
    std::uint64_t nodes_read_ = 0;
    std::uint64_t ways_read_ = 0;
    std::uint64_t unlocated_nodes_ = 0;
    std::uint64_t dropped_tags_ = 0;
    std::uint64_t centre_only_ = 0;
    std::array<std::uint64_t, 4> kinds_{};
    std::array<std::uint64_t, 3> tokens_{};
    std::uint64_t incomplete_ = 0;  // ways and relations of which the input lacks nodes or members
    Reasons dropped_;
    Reasons repaired_;
};

void warn_of(const InputNotes& notes) {
    for (const std::string& remark : notes.remarks) {
        write_warning("the input may be incomplete, its server remarked: " + remark);
    }
    if (notes.overpass_areas > 0) {
        write_warning("`<area>` elements of Overpass have no geometry and are left out: " +
                      std::to_string(notes.overpass_areas));
    }
}

JsonObject tile(const TileOptions& options) {
    if (options.inputs.size() == 1) {
        Tiler tiler{options};
        warn_of(tiler.read_relations());
        if (tiler.read_sorted()) {
            tiler.cut_relations();
            return tiler.write();
        }
    }
    Tiler tiler{options};
    tiler.find_repeated();
    const InputNotes& notes = tiler.read_relations();
    if (options.inputs.size() > 1) {
        warn_of(notes);
    }
    tiler.read_unsorted();
    tiler.cut_relations();
    return tiler.write();
}

}  // namespace

int run_tile(const TileOptions& options) {
    if (options.threads > most_threads) {
        throw UsageError("more than " + std::to_string(most_threads) + " threads", "--threads 0");
    }
    for (const std::string& input : options.inputs) {
        check_input(input);
    }
    const Plan plan{options};
    set_up_reading(plan.decoders);
    if (options.memory < least_memory) {
        write_warning("--memory below 64M is aimed at, and cannot be kept");
    }
#ifdef __GLIBC__
    // Every arena keeps what one of its threads has freed.
    (void)::mallopt(M_ARENA_MAX, static_cast<int>(std::min(plan.threads, most_arenas)));
#endif
    write_summary(tile(options));
    return 0;
}

}  // namespace geojepa
