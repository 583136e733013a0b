// The kernel moves mappings when they grow, without a copy.
#include "read/long_array.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "errors.hpp"

namespace geojepa {
namespace {

constexpr std::size_t page = 4096;

[[noreturn]] void fail(const char* what, const std::string& directory, int reason) {
    throw OutputError(
        std::string{"cannot "} + what + " a temporary file in `" + directory + "`: " + std::strerror(reason),
        {.advice = "free some space there, or raise --memory", .no_space = reason == ENOSPC});
}

std::byte* checked(void* address) {
    if (address == MAP_FAILED) {
        throw std::bad_alloc{};
    }
    return static_cast<std::byte*>(address);
}

/// At least a quarter more than before: few moves, and little waste.
std::size_t next_capacity(std::size_t before, std::size_t wanted) {
    const std::size_t bytes = std::max({wanted, before + before / 4, page});
    return (bytes + page - 1) / page * page;
}

}  // namespace

int open_unnamed_file(const std::string& directory) {
    std::string name = directory + "/.geojepa-spill-XXXXXX";
    const int file = ::mkostemp(name.data(), O_CLOEXEC);
    if (file < 0) {
        fail("create", directory, errno);
    }
    // Without a name it disappears with the process, even with a killed one.
    (void)::unlink(name.c_str());
    return file;
}

void LongBytes::grow(std::size_t bytes) {
    const std::size_t wanted = next_capacity(capacity_, bytes);
    if (in_file()) {
        extend_file(wanted);
    } else if (!memory_->take(wanted - capacity_)) {
        move_to_file(wanted);
    } else if (data_ == nullptr) {
        data_ = checked(::mmap(nullptr, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        capacity_ = wanted;
    } else {
        data_ = checked(::mremap(data_, capacity_, wanted, MREMAP_MAYMOVE));
        capacity_ = wanted;
    }
}

void LongBytes::move_to_file(std::size_t bytes) {
    file_ = open_unnamed_file(memory_->directory());
    std::byte* before = std::exchange(data_, nullptr);
    const std::size_t size = std::exchange(capacity_, 0);
    extend_file(bytes);
    if (before != nullptr) {
        std::memcpy(data_, before, size);
        (void)::munmap(before, size);
        memory_->give_back(size);
    }
}

void LongBytes::extend_file(std::size_t bytes) {
    if (const int reason = ::posix_fallocate(file_, 0, static_cast<off_t>(bytes)); reason != 0) {
        fail("write", memory_->directory(), reason);
    }
    data_ = data_ == nullptr ? checked(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0))
                             : checked(::mremap(data_, capacity_, bytes, MREMAP_MAYMOVE));
    capacity_ = bytes;
}

void LongBytes::clear() noexcept {
    if (data_ != nullptr) {
        (void)::munmap(data_, capacity_);
    }
    if (in_file()) {
        (void)::close(file_);
    } else if (memory_ != nullptr) {
        memory_->give_back(capacity_);
    }
    data_ = nullptr;
    capacity_ = 0;
    file_ = -1;
}

void LongBytes::swap(LongBytes& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(file_, other.file_);
}

}  // namespace geojepa
