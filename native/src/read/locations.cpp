// A sorted array with a sample of its ids, or an array indexed by id.
#include "read/locations.hpp"

#include <algorithm>
#include <tuple>

#include "read/reader.hpp"

namespace geojepa {
namespace {

constexpr std::size_t least_stride = 64;
constexpr std::size_t most_samples = std::size_t{1} << 20U;
/// Below this many bytes the dense form is not worth a second array.
constexpr std::size_t least_dense_bytes = std::size_t{1} << 20U;

}  // namespace

void LocationIndex::finish() {
    const auto falls_or_repeats = [](const Entry& a, const Entry& b) { return a.id >= b.id; };
    if (std::adjacent_find(entries_.begin(), entries_.end(), falls_or_repeats) != entries_.end()) {
        std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
            return std::tie(a.id, a.position.lon, a.position.lat) < std::tie(b.id, b.position.lon, b.position.lat);
        });
        const Entry* last =
            std::unique(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.id == b.id; });
        entries_.resize(static_cast<std::size_t>(last - entries_.begin()));
    }
    size_ = entries_.size();
    if (size_ * sizeof(Entry) < least_dense_bytes) {
        take_samples();
        return;
    }
    const auto range = static_cast<std::uint64_t>(entries_.back().id) - static_cast<std::uint64_t>(entries_[0].id);
    if (range < size_ * (sizeof(Entry) / sizeof(Position))) {
        make_dense();
    } else {
        take_samples();
    }
}

void LocationIndex::make_dense() {
    first_id_ = entries_[0].id;
    for (const Entry& entry : entries_.view()) {
        while (dense_.size() < static_cast<std::size_t>(entry.id - first_id_)) {
            dense_.push_back(nowhere);
        }
        dense_.push_back(entry.position);
    }
    entries_.clear();
}

void LocationIndex::take_samples() {
    stride_ = std::max(least_stride, size_ / most_samples);
    samples_.clear();
    samples_.reserve(size_ / stride_ + 1);
    for (std::size_t i = 0; i < size_; i += stride_) {
        samples_.push_back(entries_[i].id);
    }
}

std::optional<Position> LocationIndex::find_dense(std::int64_t id) const {
    const auto at = static_cast<std::uint64_t>(id) - static_cast<std::uint64_t>(first_id_);
    if (at >= dense_.size() || dense_[at] == nowhere) {
        return std::nullopt;
    }
    return dense_[at];
}

std::size_t LocationIndex::lower_bound(std::int64_t id) const {
    const auto sample = std::upper_bound(samples_.begin(), samples_.end(), id);
    if (sample == samples_.begin()) {
        return 0;
    }
    const auto block = static_cast<std::size_t>(sample - samples_.begin() - 1) * stride_;
    const Entry* first = entries_.begin() + block;
    const Entry* last = entries_.begin() + std::min(block + stride_, size_);
    const Entry* found =
        std::lower_bound(first, last, id, [](const Entry& entry, std::int64_t key) { return entry.id < key; });
    return static_cast<std::size_t>(found - entries_.begin());
}

std::optional<Position> LocationIndex::Cursor::find(std::int64_t id) {
    if (index_->is_dense()) {
        return index_->find_dense(id);
    }
    const auto& entries = index_->entries_;
    if (next_ >= entries.size() || entries[next_].id != id) {
        next_ = index_->lower_bound(id);
    }
    if (next_ >= entries.size() || entries[next_].id != id) {
        return std::nullopt;
    }
    return entries[next_++].position;
}

}  // namespace geojepa
