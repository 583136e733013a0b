// Where nodes are, by their ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "grid.hpp"

namespace geojepa {

/// Filled first (`add`), then frozen (`finish`), then asked by any number of threads.
class LocationIndex {
public:
    void add(std::int64_t id, Position position) { entries_.push_back({id, position}); }

    /// Sorts the entries where that is needed. An id must not have been added twice.
    void finish();
    void clear();

    std::size_t size() const noexcept { return entries_.size(); }

    /// Looks ids up one after the other. Nodes of a way often have ids that follow each other, so the place after the
    /// last hit is tried first.
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

    std::size_t lower_bound(std::int64_t id) const;

    std::vector<Entry> entries_;
    std::vector<std::int64_t> samples_;  // every `stride`th id: small enough for the cache
};

}  // namespace geojepa
