// The steps of `tile`: relations, then nodes and ways, then the geometry of relations, then the file.
#include "clip/tile.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clip/area_of_interest.hpp"
#include "clip/cut.hpp"
#include "clip/run_plan.hpp"
#include "clip/tile_counts.hpp"
#include "columns/object_table.hpp"
#include "columns/piece_sorter.hpp"
#include "columns/tiles_file.hpp"
#include "errors.hpp"
#include "events.hpp"
#include "read/duplicates.hpp"
#include "read/inline_positions.hpp"

namespace geojepa {
namespace {

constexpr std::size_t relations_per_task = 64;
constexpr std::size_t members_per_task = 1024;
constexpr std::uint64_t min_memory = std::uint64_t{64} << 20U;
constexpr std::uint32_t max_arenas = 4;
/// A statement for Overpass that also returns the nodes of ways and relations, and so their shapes.
constexpr const char* overpass_statement = "ask Overpass with `out body; >; out skel qt;`";

/// One run over the inputs. A sorted input is read in two passes: relations, then nodes and ways. Otherwise a pass that
/// looks for repeated ids comes first, and nodes and ways have a pass each.
class Tiler {
public:
    Tiler(const TileOptions& options, const RunPlan& plan)
        : options_(&options),
          plan_(&plan),
          grid_(options.zoom),
          area_(area_of_interest(grid_, options.bbox, options.polygon)),
          filter_(options.keep_tags, options.drop_tags),
          arrays_(directory_of(options.output), plan_->arrays),
          superseded_(arrays_),
          locations_(arrays_),
          inline_positions_(arrays_),
          relations_(arrays_),
          member_ways_(arrays_),
          objects_(arrays_, plan_->vocabulary),
          pieces_(grid_, arrays_, plan_->records) {}

    /// Reads the relations. Returns what the input contains besides elements.
    const InputNotes& read_relations() {
        Reader reader{options_->inputs, {.relations = true}};
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
        counts_.relations = relations_.size();
        notes_ = reader.notes();
        counts_.changesets = notes_.changesets;
        return notes_;
    }

    /// Returns false where the input is not sorted, or has positions on ways. This object cannot be used further then.
    bool read_sorted() {
        inline_positions_.finish();
        Reader reader{options_->inputs, {.nodes = true, .ways = true}};
        Progress progress{"read nodes and ways", reader.size()};
        const auto pool = make_pool(plan_->batches);
        Batch batch{nullptr};
        std::int64_t last_node = std::numeric_limits<std::int64_t>::min();
        std::int64_t last_way = last_node;
        bool ways_began = false;
        while (reader.next(batch)) {
            batch.headers(schema::OsmType::node, headers_);
            if (!ids_rise(last_node) || (ways_began && !headers_.empty())) {
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
                batch.headers(schema::OsmType::way, headers_);
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
        read_pass("read nodes", {.nodes = true});
        locations_.finish();
        read_inline_positions();
        read_pass("read ways", {.ways = true});
        counts_.dropped["older version of a node"] = superseded_.nodes.size();
        counts_.dropped["older version of a way"] = superseded_.ways.size();
    }

    void cut_relations() {
        member_ways_.finish();
        Progress progress{"assemble relations", relations_.size()};
        const auto pool = make_pool(plan_->relations);
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
        counts_.dropped["older version of a relation"] = relations_.superseded();
        counts_.dropped["relation marked as deleted"] = relations_.deleted();
        // No longer needed. Where they are in files, their space goes to the output.
        locations_ = LocationIndex{arrays_};
        member_ways_ = MemberWays{arrays_};
    }

    JsonObject write() {
        if (counts_.centre_only > 0) {
            throw InputError(
                "ways and relations of which the input gives the centre only, as Overpass's `out center` does: " +
                    std::to_string(counts_.centre_only) + "; their shape is not in the input",
                {.advice = overpass_statement});
        }
        if (objects_.size() == 0 || pieces_.totals().pieces == 0) {
            const std::string area = area_.only ? "polygon" : (options_->bbox ? "box" : "");
            const bool elsewhere = !area.empty() && counts_.nodes > counts_.unlocated_nodes;
            const bool bare = notes_.overpass && counts_.nodes == counts_.unlocated_nodes;
            Hint hint;
            if (elsewhere) {
                hint.options = {{"bbox", counts_.extent()}};
            } else if (bare) {
                hint.advice = overpass_statement;
            }
            throw InputError(counts_.reason_for_nothing(area), std::move(hint));
        }
        objects_.finish();
        const FileCounts file = write_tiles_file(options_->output, grid_, arrays_, objects_, pieces_);
        JsonObject summary;
        summary.add("command", "tile")
            .add("output", options_->output)
            .add("zoom", grid_.zoom())
            .add("counts", counts_.to_json(objects_.size(), file));
        return summary;
    }

private:
    static std::string directory_of(const std::string& output) {
        const std::filesystem::path parent = std::filesystem::path{output}.parent_path();
        return parent.empty() ? "." : parent.string();
    }

    std::unique_ptr<CutterPool> make_pool(CutterPool::Capacity capacity) {
        const CutContext context{
            .grid = &grid_,
            .window = area_.window,
            .only = area_.only ? &*area_.only : nullptr,
            .filter = &filter_,
            .locations = &locations_,
            .inline_positions = &inline_positions_,
            .relations = &relations_,
            .member_ways = &member_ways_,
            .superseded = &superseded_,
        };
        return std::make_unique<CutterPool>(
            capacity, [context] { return Cutter{context}; }, [this](CutResult result) { take(std::move(result)); });
    }

    void read_pass(const char* stage, ElementTypes types) {
        Reader reader{options_->inputs, types};
        Progress progress{stage, reader.size()};
        const auto pool = make_pool(plan_->batches);
        Batch batch{nullptr};
        while (reader.next(batch)) {
            batch.headers(schema::OsmType::node, headers_);
            add_locations();
            submit(*pool, batch);
            progress.at(reader.offset());
        }
        pool->finish();
        progress.finish();
    }

    /// Adds the positions given on ways, and the shapes of ways whose kept version has no references.
    void read_inline_positions() {
        Reader reader{options_->inputs, {.ways = true}};
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

    /// Whether the ids in `headers_` are strictly ascending, starting above `last`. Sets `last` to the last id.
    bool ids_rise(std::int64_t& last) const {
        return std::ranges::all_of(
            headers_, [&](const ElementHeader& element) { return element.id > std::exchange(last, element.id); });
    }

    /// Adds the positions of the nodes in `headers_`.
    void add_locations() {
        for (const ElementHeader& node : headers_) {
            ++counts_.nodes;
            const bool superseded =
                !superseded_.nodes.empty() &&
                std::binary_search(superseded_.nodes.begin(), superseded_.nodes.end(), node.sequence);
            if (node.located && !node.deleted && !superseded) {
                locations_.add(node.id, node.position);
                counts_.add_located(node.position);
            } else if (!node.located && !node.deleted) {
                ++counts_.unlocated_nodes;
            }
        }
    }

    void submit(CutterPool& pool, const Batch& batch) {
        if (batch.nodes() > 0) {
            pool.submit([batch](Cutter& cutter) { return cutter.nodes(batch); });
        }
        if (batch.ways() > 0) {
            counts_.ways += batch.ways();
            pool.submit([batch](Cutter& cutter) { return cutter.ways(batch); });
        }
    }

    /// Stores the result of a worker. Runs on the thread that reads.
    void take(CutResult result) {
        std::size_t record = 0;
        std::size_t covered = 0;
        for (const CutObject& object : result.objects) {
            const std::uint32_t number = objects_.add(object, result);
            counts_.add_object(object);
            for (const std::size_t last = record + object.pieces; record < last; ++record) {
                set_object(std::span{result.pieces.bytes}.subspan(result.pieces.first_bytes[record]), number);
            }
            for (const std::size_t last = covered + object.covered; covered < last; ++covered) {
                result.pieces.covered[covered].object = number;
            }
        }
        pieces_.add(result.pieces);
        member_ways_.append(result.member_ways);
        counts_.add_reasons(result);
    }

    const TileOptions* options_;
    const RunPlan* plan_;
    Grid grid_;
    AreaOfInterest area_;
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
    std::vector<ElementHeader> headers_;  // of the current batch
    TileCounts counts_;
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

JsonObject tile(const TileOptions& options, const RunPlan& plan) {
    if (options.inputs.size() == 1) {
        Tiler tiler{options, plan};
        warn_of(tiler.read_relations());
        if (tiler.read_sorted()) {
            tiler.cut_relations();
            return tiler.write();
        }
    }
    Tiler tiler{options, plan};
    tiler.find_repeated();
    const InputNotes& notes = tiler.read_relations();
    if (options.inputs.size() > 1) {  // one input was already reported by the first attempt
        warn_of(notes);
    }
    tiler.read_unsorted();
    tiler.cut_relations();
    return tiler.write();
}

}  // namespace

int run_tile(const TileOptions& options) {
    const RunPlan plan{options.threads, options.memory};
    for (const std::string& input : options.inputs) {
        check_input(input);
    }
    set_up_reading(plan.decoders);
    if (options.memory < min_memory) {
        write_warning("a `--memory` limit below 64M cannot be kept");
    }
#ifdef __GLIBC__
    // Each malloc arena keeps the memory that its threads freed, so the number of arenas is limited.
    (void)::mallopt(M_ARENA_MAX, static_cast<int>(std::min(plan.threads, max_arenas)));
#endif
    write_summary(tile(options, plan));
    return 0;
}

}  // namespace geojepa
