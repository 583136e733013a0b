// Key patterns, and the interning of tags.
#include "tags.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "tag_filter_default.hpp"

namespace geojepa {
namespace {

constexpr std::size_t block_bytes = std::size_t{1} << 16U;

}  // namespace

std::string_view value_of(const std::vector<Tag>& tags, std::string_view key) {
    const auto found = std::find_if(tags.begin(), tags.end(), [&](const Tag& tag) { return tag.key == key; });
    return found == tags.end() ? std::string_view{} : found->value;
}

KeySet::KeySet(const std::vector<std::string>& patterns) {
    for (const std::string& pattern : patterns) {
        if (pattern.ends_with('*')) {
            prefixes_.push_back(pattern.substr(0, pattern.size() - 1));
        } else if (pattern.starts_with('*')) {
            suffixes_.push_back(pattern.substr(1));
        } else {
            keys_.insert(pattern);
        }
    }
}

bool KeySet::contains(std::string_view key) const {
    const auto starts = [&](const std::string& prefix) { return key.starts_with(prefix); };
    const auto ends = [&](const std::string& suffix) { return key.ends_with(suffix); };
    return (!keys_.empty() && keys_.contains(std::string{key})) ||
           std::any_of(prefixes_.begin(), prefixes_.end(), starts) ||
           std::any_of(suffixes_.begin(), suffixes_.end(), ends);
}

TagFilter::TagFilter(const std::vector<std::string>& keep, const std::vector<std::string>& drop)
    : keep_(keep), drop_(drop), default_(default_dropped_keys()) {}

std::size_t Vocabulary::Hash::operator()(const Tag& tag) const noexcept {
    const std::hash<std::string_view> hash;
    return hash(tag.key) * 31 + hash(tag.value);
}

std::string_view Vocabulary::store(std::string_view text) {
    if (blocks_.empty() || blocks_.back().size() + text.size() > blocks_.back().capacity()) {
        blocks_.emplace_back();
        blocks_.back().reserve(std::max(block_bytes, text.size()));
    }
    std::string& block = blocks_.back();
    const std::size_t start = block.size();
    block += text;
    return std::string_view{block}.substr(start);
}

std::uint32_t Vocabulary::intern(Tag tag) {
    const auto found = numbers_.find(tag);
    if (found != numbers_.end()) {
        return found->second;
    }
    const auto number = static_cast<std::uint32_t>(pairs_.size());
    pairs_.push_back({store(tag.key), store(tag.value)});
    numbers_.emplace(pairs_.back(), number);
    return number;
}

std::vector<std::uint32_t> Vocabulary::sorted() const {
    std::vector<std::uint32_t> order(pairs_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [this](std::uint32_t a, std::uint32_t b) {
        const int keys = pairs_[a].key.compare(pairs_[b].key);
        return keys != 0 ? keys < 0 : pairs_[a].value < pairs_[b].value;
    });
    return order;
}

}  // namespace geojepa
