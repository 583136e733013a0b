// Tags, and the filter of their keys.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace geojepa {

struct Tag {
    std::string_view key;
    std::string_view value;
};

/// The first value of `key`; empty where there is none.
std::string_view value_of(const std::vector<Tag>& tags, std::string_view key);

/// A set of keys. The first or last character of a pattern may be `*`, which matches any text.
class KeySet {
public:
    explicit KeySet(const std::vector<std::string>& patterns);
    bool contains(std::string_view key) const;

private:
    std::unordered_set<std::string> keys_;
    std::vector<std::string> prefixes_;
    std::vector<std::string> suffixes_;
};

/// Decides by the key alone. A key in `keep` is kept even if it is dropped by default. A key in `drop` is always
/// dropped.
class TagFilter {
public:
    TagFilter(const std::vector<std::string>& keep, const std::vector<std::string>& drop);
    bool keeps(std::string_view key) const {
        return !drop_.contains(key) && (keep_.contains(key) || !default_.contains(key));
    }

private:
    KeySet keep_;
    KeySet drop_;
    KeySet default_;
};

}  // namespace geojepa
