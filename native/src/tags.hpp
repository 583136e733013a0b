// Tags: which keys are kept, and the vocabulary of the pairs that were.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace geojepa {

struct Tag {
    std::string_view key;
    std::string_view value;
};

/// The value of `key`, empty where there is none.
std::string_view value_of(const std::vector<Tag>& tags, std::string_view key);

/// A set of keys: whole ones, and patterns whose first or last character is `*`.
class KeySet {
public:
    explicit KeySet(const std::vector<std::string>& patterns);
    bool contains(std::string_view key) const;

private:
    std::unordered_set<std::string> keys_;
    std::vector<std::string> prefixes_;
    std::vector<std::string> suffixes_;
};

/// Decides by the key alone. What `keep` names is kept although it is dropped by default; what `drop` names is
/// dropped in any case.
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

/// Numbers (key, value) pairs in the order in which they come.
class Vocabulary {
public:
    std::uint32_t intern(Tag tag);
    std::size_t size() const noexcept { return pairs_.size(); }
    Tag pair(std::uint32_t number) const { return pairs_[number]; }

    /// Numbers sorted by the bytes of key, then value.
    std::vector<std::uint32_t> sorted() const;

private:
    struct Hash {
        std::size_t operator()(const Tag& tag) const noexcept;
    };
    struct Equal {
        bool operator()(const Tag& a, const Tag& b) const noexcept { return a.key == b.key && a.value == b.value; }
    };

    std::string_view store(std::string_view text);

    std::deque<std::string> blocks_;  // the text of all pairs; blocks never move
    std::vector<Tag> pairs_;
    std::unordered_map<Tag, std::uint32_t, Hash, Equal> numbers_;
};

}  // namespace geojepa
