// A record is its size (u32) and its bytes. Writes are buffered and go to the end, reads are positioned.
#include "columns/spill_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "errors.hpp"
#include "read/long_array.hpp"

namespace geojepa {
namespace {

constexpr std::size_t write_bytes = std::size_t{1} << 18U;
/// Number of holes by which a run is removed from the file, within the limits below. Few holes cost nothing.
constexpr std::uint64_t holes_of_run = 16;
constexpr std::uint64_t min_hole_bytes = std::uint64_t{1} << 16U;
constexpr std::uint64_t max_hole_bytes = std::uint64_t{1} << 22U;

[[noreturn]] void fail(const char* what, const std::string& directory) {
    const int reason = errno;
    throw OutputError(
        std::string{"cannot "} + what + " a temporary file in `" + directory + "`: " + std::strerror(reason),
        {.advice = "free some space there, or raise --memory", .no_space = reason == ENOSPC});
}

}  // namespace

SpillFile::~SpillFile() {
    if (file_ >= 0) {
        (void)::close(file_);
    }
}

void SpillFile::add(std::span<const std::byte> record) {
    const auto size = static_cast<std::uint32_t>(record.size());
    const auto* size_bytes = reinterpret_cast<const std::byte*>(&size);
    pending_.insert(pending_.end(), size_bytes, size_bytes + sizeof(size));
    pending_.insert(pending_.end(), record.begin(), record.end());
    if (pending_.size() >= write_bytes) {
        flush();
    }
}

void SpillFile::end_run() {
    flush();
    pending_.shrink_to_fit();
    if (written_ > run_start_) {
        runs_.push_back({.first = std::exchange(run_start_, written_), .last = written_});
    }
}

void SpillFile::flush() {
    if (file_ < 0) {
        file_ = open_unnamed_file(directory_);
    }
    std::span<const std::byte> rest{pending_};
    while (!rest.empty()) {
        const ssize_t done = ::write(file_, rest.data(), rest.size());
        if (done < 0 && errno != EINTR) {
            fail("write", directory_);
        }
        rest = rest.subspan(done < 0 ? 0 : static_cast<std::size_t>(done));
    }
    written_ += pending_.size();
    pending_.clear();
}

SpillFile::Reader::Reader(SpillFile& file, std::size_t run, std::size_t buffer)
    : file_(&file),
      next_(file.runs_[run].first),
      last_(std::exchange(file.runs_[run].last, next_)),
      removed_(next_),
      hole_bytes_(std::clamp((last_ - next_) / holes_of_run, min_hole_bytes, max_hole_bytes)),
      buffer_bytes_(buffer) {}

std::optional<std::span<const std::byte>> SpillFile::Reader::next() {
    std::uint32_t size = 0;
    if (!fill(sizeof(size))) {
        return std::nullopt;
    }
    std::memcpy(&size, buffer_.data() + at_, sizeof(size));
    at_ += sizeof(size);
    if (!fill(size)) {
        errno = EIO;
        fail("read", file_->directory_);
    }
    at_ += size;
    return std::span{buffer_}.subspan(at_ - size, size);
}

/// Reads until the buffer holds at least `bytes` after `at_`. Returns false where the run ends before.
bool SpillFile::Reader::fill(std::size_t bytes) {
    if (buffer_.size() - at_ >= bytes) {
        return true;
    }
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(std::exchange(at_, 0)));
    const std::size_t kept = buffer_.size();
    const std::size_t more = std::min<std::uint64_t>(std::max(bytes, buffer_bytes_) - kept, last_ - next_);
    if (kept + more < bytes) {
        return false;
    }
    buffer_.resize(kept + more);
    std::size_t got = 0;
    while (got < more) {
        const ssize_t done =
            ::pread(file_->file_, buffer_.data() + kept + got, more - got, static_cast<off_t>(next_ + got));
        if (done == 0 || (done < 0 && errno != EINTR)) {
            errno = done == 0 ? EIO : errno;
            fail("read", file_->directory_);
        }
        got += done < 0 ? 0 : static_cast<std::size_t>(done);
    }
    next_ += more;
    if (next_ - removed_ >= hole_bytes_ || next_ == last_) {
        punch_hole();
    }
    return true;
}

void SpillFile::Reader::punch_hole() {
    // Where the file system does not support holes, the file keeps its size until it is closed.
    (void)::fallocate(file_->file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(removed_),
                      static_cast<off_t>(next_ - removed_));
    removed_ = next_;
}

}  // namespace geojepa
