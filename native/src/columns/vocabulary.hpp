// The distinct (key, value) pairs of the input, numbered as they come, in bounded memory.
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

/// A pair has one number as long as the table fits `bytes`. Beyond them the table is written to a temporary file,
/// sorted, and begun anew, so that a pair may have several numbers; `for_each` brings them together.
class Vocabulary {
public:
    Vocabulary(std::string directory, std::size_t bytes);
    ~Vocabulary();
    Vocabulary(const Vocabulary&) = delete;
    Vocabulary& operator=(const Vocabulary&) = delete;

    std::uint32_t intern(Tag tag);

    /// How many numbers were given.
    std::uint32_t numbers() const noexcept { return first_number_ + static_cast<std::uint32_t>(pairs_.size()); }
    std::uint64_t spilled_bytes() const noexcept { return spilled_.bytes(); }

    /// Calls `visit` with every pair once, sorted by the bytes of key, then value, and with the numbers it has.
    /// No pair is to be added afterwards.
    void for_each(const std::function<void(Tag, std::span<const std::uint32_t>)>& visit);

private:
    struct Pair {
        std::uint64_t hash;
        const char* text;  // the key, then the value
        std::uint32_t key_bytes;
        std::uint32_t value_bytes;

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
    std::deque<std::string> blocks_;  // the text of all pairs; blocks never move
    std::size_t block_bytes_ = 0;
    std::vector<Pair> pairs_;
    std::vector<std::uint32_t> slots_;  // open addressing: 1 + the place in `pairs_`, 0 where free
    std::uint32_t first_number_ = 0;    // of the pairs in memory
    SpillFile spilled_;
};

}  // namespace geojepa
