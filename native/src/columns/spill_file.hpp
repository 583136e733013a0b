// Sorted runs of records in one unnamed temporary file, written one after the other and read in parallel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace geojepa {

class SpillFile {
public:
    explicit SpillFile(std::string directory) : directory_(std::move(directory)) {}
    ~SpillFile();
    SpillFile(const SpillFile&) = delete;
    SpillFile& operator=(const SpillFile&) = delete;

    /// Adds a record to the current run. Throws OutputError with the system's reason.
    void add(std::span<const std::byte> record);
    /// Ends the run. The next record begins another one.
    void end_run();

    std::size_t runs() const noexcept { return runs_.size(); }
    std::uint64_t bytes() const noexcept { return written_; }

    /// Reads a run and removes what was read from the file, which frees disk space and page cache for the output that
    /// is written meanwhile. A run can be read only once.
    class Reader {
    public:
        /// Reads `buffer` bytes at once, more where a record is longer.
        Reader(SpillFile& file, std::size_t run, std::size_t buffer);

        /// Returns the next record, valid until the next call, or nothing at the end of the run.
        std::optional<std::span<const std::byte>> next();

    private:
        bool fill(std::size_t bytes);
        void punch_hole();

        const SpillFile* file_;
        std::uint64_t next_;
        std::uint64_t last_;
        std::uint64_t removed_;     // end of what was removed
        std::uint64_t hole_bytes_;  // minimum size of a hole
        std::size_t buffer_bytes_;
        std::vector<std::byte> buffer_;
        std::size_t at_ = 0;
    };

private:
    struct Run {
        std::uint64_t first = 0;
        std::uint64_t last = 0;
    };

    void flush();

    std::string directory_;
    int file_ = -1;
    std::vector<Run> runs_;
    std::uint64_t run_start_ = 0;
    std::uint64_t written_ = 0;
    std::vector<std::byte> pending_;
};

}  // namespace geojepa
