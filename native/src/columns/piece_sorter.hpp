// Sorts pieces by tile and object in bounded memory: an external merge sort.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "clip/pieces.hpp"
#include "columns/spill_file.hpp"
#include "read/long_array.hpp"

namespace geojepa {

class PieceSorter {
public:
    struct Totals {
        std::uint64_t pieces = 0;
        std::uint64_t parts = 0;
        std::uint64_t nodes = 0;
    };

    /// Spills a sorted run to a file in the directory of `arrays` whenever the records take more than `bytes`. The file
    /// has no name and disappears with the process.
    PieceSorter(const Grid& grid, ArrayMemory& arrays, std::size_t bytes);
    ~PieceSorter();
    PieceSorter(const PieceSorter&) = delete;
    PieceSorter& operator=(const PieceSorter&) = delete;

    /// Adds pieces. Every key may be added once.
    void add(const PieceBatch& batch);

    const Totals& totals() const noexcept { return totals_; }
    std::uint64_t spilled_bytes() const noexcept { return spilled_.bytes(); }

    /// Calls `visit` with every record in order. Must be called once, after all pieces were added.
    void for_each(const std::function<void(std::span<const std::byte>)>& visit);

private:
    struct SortedRecord {
        PieceKey key;
        std::uint64_t first_byte = 0;
    };
    /// Covered tiles within one row of zoom-14 groups.
    struct CoveredRow {
        PieceKey first;  ///< key of the first tile
        CoveredTiles covered;
    };
    class Source;
    class MemorySource;
    class RunSource;
    class CoveredSource;

    void add_record(std::span<const std::byte> record);
    void add_covered(const CoveredTiles& covered);
    void sort_records();
    void spill();
    std::span<const std::byte> record_at(const SortedRecord& sorted) const;
    std::vector<std::unique_ptr<Source>> sources();

    const Grid* grid_;
    std::size_t bytes_;
    std::vector<std::byte> records_;
    std::vector<SortedRecord> sorted_;
    SpillFile spilled_;
    LongArray<CoveredRow> covered_;
    Totals totals_;
};

}  // namespace geojepa
