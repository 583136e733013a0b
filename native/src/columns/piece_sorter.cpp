// Records in memory, runs in a file and covered tiles are sorted sources, which a heap merges.
#include "columns/piece_sorter.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "errors.hpp"

namespace geojepa {
namespace {

/// Keys get a fifth of the memory, because a record takes about four times as much as its key.
constexpr std::size_t keys_share = 5;
constexpr std::size_t min_read_bytes = std::size_t{1} << 12U;
constexpr std::size_t max_read_bytes = std::size_t{1} << 20U;

}  // namespace

/// Iterates over sorted records.
class PieceSorter::Source {
public:
    Source() = default;
    virtual ~Source() = default;
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

    const PieceKey& key() const { return key_; }
    virtual std::span<const std::byte> record() = 0;
    /// Moves to the next record; must be called before the first one. Returns false at the end.
    virtual bool advance() = 0;

protected:
    PieceKey key_{};
};

class PieceSorter::MemorySource : public Source {
public:
    explicit MemorySource(const PieceSorter& sorter) : sorter_(&sorter) {}

    std::span<const std::byte> record() override { return sorter_->record_at(sorter_->sorted_[next_ - 1]); }
    bool advance() override {
        if (next_ == sorter_->sorted_.size()) {
            return false;
        }
        key_ = sorter_->sorted_[next_++].key;
        return true;
    }

private:
    const PieceSorter* sorter_;
    std::size_t next_ = 0;
};

class PieceSorter::RunSource : public Source {
public:
    RunSource(SpillFile& file, std::size_t run, std::size_t buffer) : reader_(file, run, buffer) {}

    std::span<const std::byte> record() override { return record_; }
    bool advance() override {
        const auto next = reader_.next();
        if (!next) {
            return false;
        }
        record_ = *next;
        key_ = header_of(record_).key;
        return true;
    }

private:
    SpillFile::Reader reader_;
    std::span<const std::byte> record_;
};

/// Walks through all covered windows in the order of tiles. A heap holds those in progress.
class PieceSorter::CoveredSource : public Source {
public:
    explicit CoveredSource(const PieceSorter& sorter)
        : rows_(sorter.covered_.view()), grid_(sorter.grid_), builder_(*sorter.grid_) {}

    std::span<const std::byte> record() override {
        header_ = builder_.covering(active_.front().at, active_.front().covered);
        return std::as_bytes(std::span{&header_, 1});
    }

    bool advance() override {
        if (std::exchange(begun_, true)) {
            std::pop_heap(active_.begin(), active_.end(), later);
            if (step(active_.back())) {
                std::push_heap(active_.begin(), active_.end(), later);
            } else {
                active_.pop_back();
            }
        }
        while (next_ < rows_.size() && (active_.empty() || rows_[next_].first < active_.front().key)) {
            const CoveredRow& row = rows_[next_++];
            active_.push_back({.key = row.first, .covered = row.covered, .at = row.covered.window.tiles.first});
            std::push_heap(active_.begin(), active_.end(), later);
        }
        if (active_.empty()) {
            return false;
        }
        key_ = active_.front().key;
        return true;
    }

private:
    struct Walk {
        PieceKey key;
        CoveredTiles covered;
        TileIndex at;
    };

    static bool later(const Walk& a, const Walk& b) { return b.key < a.key; }

    /// Moves to the next tile of the window: along the row of the group, then down the group, then to the next group.
    bool step(Walk& walk) const {
        const TileWindow& tiles = walk.covered.window.tiles;
        const std::uint32_t group_side = 1U << (grid_->zoom() - group_zoom);
        const std::uint32_t group_first = walk.at.x / group_side * group_side;
        const std::uint32_t group_last = std::min(group_first + group_side - 1, tiles.last.x);
        if (walk.at.x < group_last) {
            ++walk.at.x;
        } else if (walk.at.y < tiles.last.y) {
            walk.at = {std::max(group_first, tiles.first.x), walk.at.y + 1};
        } else if (group_last < tiles.last.x) {
            walk.at = {group_last + 1, tiles.first.y};
        } else {
            return false;
        }
        walk.key.tile = grid_->sort_key(walk.at);
        return true;
    }

    std::span<const CoveredRow> rows_;
    const Grid* grid_;
    PieceBuilder builder_;
    PieceHeader header_{};
    std::vector<Walk> active_;
    std::size_t next_ = 0;
    bool begun_ = false;
};

PieceSorter::PieceSorter(const Grid& grid, ArrayMemory& arrays, std::size_t bytes)
    : grid_(&grid), bytes_(bytes), spilled_(arrays.directory()), covered_(arrays) {
    // Reserved memory costs nothing until it is written. Growing step by step would cost copies.
    sorted_.reserve(bytes / keys_share / sizeof(SortedRecord) + 1);
    records_.reserve(bytes - bytes / keys_share);
}

PieceSorter::~PieceSorter() = default;

void PieceSorter::add(const PieceBatch& batch) {
    for (std::size_t i = 0; i < batch.first_bytes.size(); ++i) {
        add_record(batch.record(i));
    }
    for (const CoveredTiles& covered : batch.covered) {
        add_covered(covered);
    }
}

void PieceSorter::add_record(std::span<const std::byte> record) {
    if (sorted_.size() == sorted_.capacity() || records_.size() + record.size() > records_.capacity()) {
        spill();
    }
    const PieceHeader header = header_of(record);
    ++totals_.pieces;
    totals_.parts += std::uint64_t{header.parts} + header.outlines;
    totals_.nodes += header.nodes + std::uint64_t{header.outlines} * outline_nodes;
    sorted_.push_back({.key = header.key, .first_byte = records_.size()});
    records_.insert(records_.end(), record.begin(), record.end());
}

/// Divides the window by rows of groups, so that each walk stays within one row.
void PieceSorter::add_covered(const CoveredTiles& covered) {
    const auto& [tiles, outlines] = covered.window;
    const std::uint32_t group_side = 1U << (grid_->zoom() - group_zoom);
    for (std::uint32_t y = tiles.first.y; y <= tiles.last.y;) {
        const std::uint32_t last = std::min(y / group_side * group_side + group_side - 1, tiles.last.y);
        CoveredRow row{
            .first = {.tile = grid_->sort_key({tiles.first.x, y}), .object = covered.object_key},
            .covered = covered,
        };
        row.covered.window.tiles = {.first = {tiles.first.x, y}, .last = {tiles.last.x, last}};
        covered_.push_back(row);
        const std::uint64_t count = std::uint64_t{tiles.last.x - tiles.first.x + 1} * (last - y + 1);
        totals_.pieces += count;
        totals_.parts += count * outlines;
        totals_.nodes += count * outlines * outline_nodes;
        y = last + 1;
    }
}

std::span<const std::byte> PieceSorter::record_at(const SortedRecord& sorted) const {
    const std::span<const std::byte> rest = std::span{records_}.subspan(sorted.first_byte);
    return rest.first(record_bytes(header_of(rest)));
}

void PieceSorter::sort_records() {
    std::sort(sorted_.begin(), sorted_.end(),
              [](const SortedRecord& a, const SortedRecord& b) { return a.key < b.key; });
}

void PieceSorter::spill() {
    sort_records();
    for (const SortedRecord& record : sorted_) {
        spilled_.add(record_at(record));
    }
    spilled_.end_run();
    sorted_.clear();
    records_.clear();
}

std::vector<std::unique_ptr<PieceSorter::Source>> PieceSorter::sources() {
    std::vector<std::unique_ptr<Source>> all;
    if (spilled_.runs() > 0 && !sorted_.empty()) {
        spill();
    }
    if (spilled_.runs() > 0) {
        sorted_.shrink_to_fit();
        records_.shrink_to_fit();
    }
    const std::size_t buffer =
        std::clamp(bytes_ / std::max<std::size_t>(spilled_.runs(), 1), min_read_bytes, max_read_bytes);
    for (std::size_t run = 0; run < spilled_.runs(); ++run) {
        all.push_back(std::make_unique<RunSource>(spilled_, run, buffer));
    }
    sort_records();
    all.push_back(std::make_unique<MemorySource>(*this));
    std::sort(covered_.begin(), covered_.end(),
              [](const CoveredRow& a, const CoveredRow& b) { return a.first < b.first; });
    all.push_back(std::make_unique<CoveredSource>(*this));
    return all;
}

void PieceSorter::for_each(const std::function<void(std::span<const std::byte>)>& visit) {
    const std::vector<std::unique_ptr<Source>> all = sources();
    std::vector<Source*> heap;
    for (const auto& source : all) {
        if (source->advance()) {
            heap.push_back(source.get());
        }
    }
    const auto later = [](const Source* a, const Source* b) { return b->key() < a->key(); };
    std::make_heap(heap.begin(), heap.end(), later);
    while (!heap.empty()) {
        std::pop_heap(heap.begin(), heap.end(), later);
        Source* first = heap.back();
        // The heap stays as it is while this source has the smallest key.
        bool more = true;
        do {
            visit(first->record());
            more = first->advance();
        } while (more && (heap.size() == 1 || first->key() < heap.front()->key()));
        if (more) {
            std::push_heap(heap.begin(), heap.end(), later);
        } else {
            heap.pop_back();
        }
    }
}

}  // namespace geojepa
