// Numbers the distinct (key, value) pairs of the input, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "columns/spill_file.hpp"
#include "read/tags.hpp"

namespace geojepa {

/// A pair has one number while the table fits into `bytes`. When it no longer does, the table is sorted, written to a
/// temporary file and emptied, so a pair may get several numbers. `for_each` merges them.
class Vocabulary {
public:
    Vocabulary(std::string directory, std::size_t bytes);
    ~Vocabulary();
    Vocabulary(const Vocabulary&) = delete;
    Vocabulary& operator=(const Vocabulary&) = delete;

    /// Returns a number of this pair.
    std::uint32_t intern(Tag tag);

    /// Count of all numbers.
    std::uint32_t numbers() const noexcept { return first_number_ + static_cast<std::uint32_t>(pairs_.size()); }
    std::uint64_t spilled_bytes() const noexcept { return spilled_.bytes(); }

    /// Calls `visit` once for every distinct pair, sorted by the bytes of key, then value, with all its numbers. No
    /// pair may be added afterwards.
    void for_each(const std::function<void(Tag, std::span<const std::uint32_t>)>& visit);

private:
    struct Pair {
        std::uint64_t hash = 0;
        const char* text = nullptr;  // the key, then the value
        std::uint32_t key_bytes = 0;
        std::uint32_t value_bytes = 0;

        Tag tag() const { return {{text, key_bytes}, {text + key_bytes, value_bytes}}; }
    };
    class Source;
    class MemorySource;
    class RunSource;

    const char* store(Tag tag);
    std::size_t used_bytes() const;
    void widen();
    void spill();
    std::vector<std::uint32_t> sorted() const;

    std::size_t bytes_;
    std::deque<std::string> blocks_;  // the texts of all pairs; a block never moves
    std::size_t block_bytes_ = 0;
    std::vector<Pair> pairs_;
    std::vector<std::uint32_t> slots_;  // open addressing: 1 + index in `pairs_`, 0 where free
    std::uint32_t first_number_ = 0;    // number of the first pair in memory
    SpillFile spilled_;
};

}  // namespace geojepa
