// A sorted array, searched by way of a sample of its ids.
#include "locations.hpp"

#include <algorithm>

namespace geojepa {
namespace {

constexpr std::size_t stride = 64;

}  // namespace

void LocationIndex::finish() {
    const auto by_id = [](const Entry& a, const Entry& b) { return a.id < b.id; };
    if (!std::is_sorted(entries_.begin(), entries_.end(), by_id)) {
        std::sort(entries_.begin(), entries_.end(), by_id);
    }
    samples_.clear();
    samples_.reserve(entries_.size() / stride + 1);
    for (std::size_t i = 0; i < entries_.size(); i += stride) {
        samples_.push_back(entries_[i].id);
    }
}

void LocationIndex::clear() {
    entries_.clear();
    samples_.clear();
}

std::size_t LocationIndex::lower_bound(std::int64_t id) const {
    const auto sample = std::upper_bound(samples_.begin(), samples_.end(), id);
    if (sample == samples_.begin()) {
        return 0;
    }
    const auto block = static_cast<std::size_t>(sample - samples_.begin() - 1) * stride;
    const auto first = entries_.begin() + static_cast<std::ptrdiff_t>(block);
    const auto last = entries_.begin() + static_cast<std::ptrdiff_t>(std::min(block + stride, entries_.size()));
    const auto found =
        std::lower_bound(first, last, id, [](const Entry& entry, std::int64_t key) { return entry.id < key; });
    return static_cast<std::size_t>(found - entries_.begin());
}

std::optional<Position> LocationIndex::Cursor::find(std::int64_t id) {
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
