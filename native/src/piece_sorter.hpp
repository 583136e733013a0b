// Sorts pieces by tile and object in bounded memory: what does not fit is written to temporary files and merged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pieces.hpp"

namespace geojepa {

class PieceSorter {
public:
    struct Totals {
        std::uint64_t pieces = 0;
        std::uint64_t parts = 0;
        std::uint64_t nodes = 0;
    };

    /// Temporary files are made in `directory`, and are gone when the sorter is, however the program ends. A run is
    /// spilled whenever pieces take more than `memory` bytes.
    PieceSorter(std::string directory, std::size_t memory);

    /// Takes pieces whose keys have not been added before.
    void add(PieceBatch batch);

    const Totals& totals() const noexcept { return totals_; }
    std::uint64_t spilled_bytes() const noexcept { return spilled_bytes_; }

    /// Calls `visit` with every record in order. To be called once, at the end.
    void for_each(const std::function<void(std::span<const std::byte>)>& visit);

private:
    struct Place {
        PieceKey key;
        std::uint32_t batch;
        std::uint32_t entry;
    };
    struct CloseFile {
        void operator()(std::FILE* file) const { (void)std::fclose(file); }
    };
    using File = std::unique_ptr<std::FILE, CloseFile>;
    class Run;

    std::vector<Place> sorted_places() const;
    std::span<const std::byte> record_at(const Place& place) const;
    void spill();

    std::string directory_;
    std::size_t memory_;
    std::size_t used_ = 0;
    std::vector<PieceBatch> batches_;
    std::vector<File> runs_;
    Totals totals_;
    std::uint64_t spilled_bytes_ = 0;
};

}  // namespace geojepa
