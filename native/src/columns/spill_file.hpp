// Sorted runs of records in one unnamed file, written one after the other and read side by side.
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

    /// Adds a record to the run under way. Throws OutputError with the system's reason.
    void add(std::span<const std::byte> record);
    /// Ends the run; the next record begins another.
    void end_run();

    std::size_t runs() const noexcept { return runs_.size(); }
    std::uint64_t bytes() const noexcept { return written_; }

    /// Takes a run out of the file, some records at a time: what was read leaves room, on the disk and in the system's
    /// cache, for what is written meanwhile. Nothing is left of the run for a second reader.
    class Reader {
    public:
        /// `buffer` bytes are read at once, more where a record is longer.
        Reader(SpillFile& file, std::size_t run, std::size_t buffer);

        /// The next record, valid until the next call; nothing at the end of the run.
        std::optional<std::span<const std::byte>> next();

    private:
        bool fill(std::size_t bytes);
        void give_back();

        const SpillFile* file_;
        std::uint64_t next_;
        std::uint64_t last_;
        std::uint64_t given_back_;  // up to here
        std::uint64_t hole_bytes_;  // to be given back at once
        std::size_t buffer_bytes_;
        std::vector<std::byte> buffer_;
        std::size_t at_ = 0;
    };

private:
    struct Run {
        std::uint64_t first, last;
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
