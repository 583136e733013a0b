// Key patterns.
#include "read/tags.hpp"

#include <algorithm>

#include "read/tag_filter_default.hpp"

namespace geojepa {

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
    : keep_(keep), drop_(drop), default_({default_dropped_keys.begin(), default_dropped_keys.end()}) {}

}  // namespace geojepa
