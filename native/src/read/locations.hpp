// Positions of nodes by their ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "clip/grid.hpp"
#include "read/long_array.hpp"

namespace geojepa {

/// Filled first (`add`), then frozen (`finish`), then searched by any number of threads.
///
/// The sparse form holds ids with their positions, sorted. Where most ids of the range occur, as in the whole planet,
/// the dense form takes less memory: positions alone, indexed by id.
class LocationIndex {
public:
    explicit LocationIndex(ArrayMemory& memory) : entries_(memory), dense_(memory) {}

    void add(std::int64_t id, Position position) { entries_.push_back({id, position}); }

    /// Sorts the entries where they are not sorted. Of entries with one id the one farthest west, then south, stays:
    /// the result does not depend on their order.
    void finish();

    std::size_t size() const noexcept { return size_; }
    bool is_dense() const noexcept { return !dense_.empty(); }

    /// Looks up ids one after the other. Nodes of a way often have consecutive ids, so the entry after the last hit is
    /// tried first.
    class Cursor {
    public:
        explicit Cursor(const LocationIndex& index) : index_(&index) {}
        std::optional<Position> find(std::int64_t id);

    private:
        const LocationIndex* index_;
        std::size_t next_ = 0;
    };

private:
    struct Entry {
        std::int64_t id;
        Position position;
    };

    std::optional<Position> find_dense(std::int64_t id) const;
    std::size_t lower_bound(std::int64_t id) const;
    void make_dense();
    void take_samples();

    LongArray<Entry> entries_;
    LongArray<Position> dense_;
    std::int64_t first_id_ = 0;
    std::size_t size_ = 0;
    std::size_t stride_ = 0;
    std::vector<std::int64_t> samples_;  // every `stride_`th id: small enough for the cache
};

}  // namespace geojepa
