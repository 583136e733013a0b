// Runs are files of (size, record); merging reads each from its start.
#include "piece_sorter.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <queue>
#include <utility>

#include "errors.hpp"

namespace geojepa {
namespace {

[[noreturn]] void fail(const char* what, const std::string& directory) {
    throw OutputError(
        std::string{"cannot "} + what + " a temporary file in `" + directory + "`: " + std::strerror(errno),
        "free some space there, or raise --memory");
}

PieceHeader header_of(std::span<const std::byte> record) {
    PieceHeader header;
    std::memcpy(&header, record.data(), sizeof(header));
    return header;
}

}  // namespace

/// A run being read: its current record.
class PieceSorter::Run {
public:
    Run(File file, const std::string& directory) : file_(std::move(file)), directory_(&directory) { advance(); }

    bool done() const { return record_.empty(); }
    std::span<const std::byte> record() const { return record_; }
    const PieceKey& key() const { return key_; }

    void advance() {
        std::uint32_t size = 0;
        if (std::fread(&size, sizeof(size), 1, file_.get()) != 1) {
            if (std::ferror(file_.get()) != 0) {
                fail("read", *directory_);
            }
            record_.clear();
            return;
        }
        record_.resize(size);
        if (std::fread(record_.data(), 1, size, file_.get()) != size) {
            fail("read", *directory_);
        }
        key_ = header_of(record_).key;
    }

private:
    File file_;
    const std::string* directory_;
    std::vector<std::byte> record_;
    PieceKey key_{};
};

PieceSorter::PieceSorter(std::string directory, std::size_t memory)
    : directory_(std::move(directory)), memory_(memory) {}

void PieceSorter::add(PieceBatch batch) {
    if (batch.entries.empty()) {
        return;
    }
    for (const PieceBatch::Entry& entry : batch.entries) {
        const PieceHeader header = header_of(batch.record(entry));
        totals_.parts += header.parts;
        totals_.nodes += header.nodes;
    }
    totals_.pieces += batch.entries.size();
    batch.bytes.shrink_to_fit();
    batch.entries.shrink_to_fit();
    // Each entry has a Place too while it is sorted.
    used_ += batch.bytes.size() + batch.entries.size() * (sizeof(PieceBatch::Entry) + sizeof(Place));
    batches_.push_back(std::move(batch));
    if (used_ > memory_) {
        spill();
    }
}

std::vector<PieceSorter::Place> PieceSorter::sorted_places() const {
    std::vector<Place> places;
    for (std::size_t b = 0; b < batches_.size(); ++b) {
        for (std::size_t e = 0; e < batches_[b].entries.size(); ++e) {
            places.push_back(
                {batches_[b].entries[e].key, static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(e)});
        }
    }
    std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.key < b.key; });
    return places;
}

std::span<const std::byte> PieceSorter::record_at(const Place& place) const {
    const PieceBatch& batch = batches_[place.batch];
    return batch.record(batch.entries[place.entry]);
}

void PieceSorter::spill() {
    std::string name = directory_ + "/.geojepa-spill-XXXXXX";
    const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
    if (descriptor < 0) {
        fail("make", directory_);
    }
    // Without a name it is gone with the process, even with a killed one.
    (void)::unlink(name.c_str());
    File file{::fdopen(descriptor, "w+b")};
    for (const Place& place : sorted_places()) {
        const std::span<const std::byte> record = record_at(place);
        const auto size = static_cast<std::uint32_t>(record.size());
        if (std::fwrite(&size, sizeof(size), 1, file.get()) != 1 ||
            std::fwrite(record.data(), 1, size, file.get()) != size) {
            fail("write", directory_);
        }
        spilled_bytes_ += sizeof(size) + size;
    }
    if (std::fflush(file.get()) != 0 || std::fseek(file.get(), 0, SEEK_SET) != 0) {
        fail("write", directory_);
    }
    runs_.push_back(std::move(file));
    batches_.clear();
    batches_.shrink_to_fit();
    used_ = 0;
}

void PieceSorter::for_each(const std::function<void(std::span<const std::byte>)>& visit) {
    std::vector<Run> runs;
    for (File& file : runs_) {
        runs.emplace_back(std::move(file), directory_);
    }
    const auto later = [&](std::size_t a, std::size_t b) { return runs[b].key() < runs[a].key(); };
    std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(later)> next{later};
    for (std::size_t i = 0; i < runs.size(); ++i) {
        if (!runs[i].done()) {
            next.push(i);
        }
    }
    const auto visit_runs_until = [&](const PieceKey* limit) {
        while (!next.empty() && (limit == nullptr || runs[next.top()].key() < *limit)) {
            const std::size_t i = next.top();
            next.pop();
            visit(runs[i].record());
            runs[i].advance();
            if (!runs[i].done()) {
                next.push(i);
            }
        }
    };
    for (const Place& place : sorted_places()) {
        visit_runs_until(&place.key);
        visit(record_at(place));
    }
    visit_runs_until(nullptr);
}

}  // namespace geojepa
