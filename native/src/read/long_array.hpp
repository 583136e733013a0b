// Arrays that may outgrow memory: when all of them together take too much, one moves to an unnamed, mapped file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace geojepa {

/// The private memory that all arrays of a run may take together, and the directory for what does not fit.
/// Used by one thread at a time.
class ArrayMemory {
public:
    ArrayMemory(std::string directory, std::uint64_t bytes) : directory_(std::move(directory)), left_(bytes) {}

    bool take(std::uint64_t bytes) noexcept {
        if (bytes > left_) {
            return false;
        }
        left_ -= bytes;
        return true;
    }
    void give_back(std::uint64_t bytes) noexcept { left_ += bytes; }
    const std::string& directory() const noexcept { return directory_; }

private:
    std::string directory_;
    std::uint64_t left_;
};

/// Bytes that grow at their end, in memory first and in a mapped file later. The file has no name, so it disappears
/// with the process. Its blocks are reserved before they are used, so a full disk is an OutputError and not a signal.
class LongBytes {
public:
    explicit LongBytes(ArrayMemory& memory) : memory_(&memory) {}
    ~LongBytes() { clear(); }
    LongBytes(const LongBytes&) = delete;
    LongBytes& operator=(const LongBytes&) = delete;
    LongBytes(LongBytes&& other) noexcept { swap(other); }
    LongBytes& operator=(LongBytes&& other) noexcept {
        swap(other);
        return *this;
    }

    std::byte* data() const noexcept { return data_; }
    std::size_t capacity() const noexcept { return capacity_; }
    bool in_file() const noexcept { return file_ >= 0; }

    /// Makes room for at least `bytes`. The content stays, perhaps at another address.
    void grow(std::size_t bytes);
    void clear() noexcept;

private:
    void swap(LongBytes& other) noexcept;
    void move_to_file(std::size_t bytes);
    void extend_file(std::size_t bytes);

    ArrayMemory* memory_ = nullptr;
    std::byte* data_ = nullptr;
    std::size_t capacity_ = 0;
    int file_ = -1;
};

/// An array of plain values. Pointers into it are valid until it grows.
template <typename T>
class LongArray {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    explicit LongArray(ArrayMemory& memory) : bytes_(memory) {}

    void push_back(const T& value) {
        reserve(size_ + 1);
        std::construct_at(end(), value);
        ++size_;
    }
    void append(std::span<const T> values) {
        reserve(size_ + values.size());
        std::uninitialized_copy(values.begin(), values.end(), end());
        size_ += values.size();
    }
    /// New elements are zero.
    void resize(std::size_t size) {
        reserve(size);
        if (size > size_) {
            std::uninitialized_value_construct(end(), begin() + size);
        }
        size_ = size;
    }
    void clear() noexcept {
        bytes_.clear();
        size_ = 0;
    }

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    bool in_file() const noexcept { return bytes_.in_file(); }
    T* begin() noexcept { return reinterpret_cast<T*>(bytes_.data()); }
    T* end() noexcept { return begin() + size_; }
    const T* begin() const noexcept { return reinterpret_cast<const T*>(bytes_.data()); }
    const T* end() const noexcept { return begin() + size_; }
    T& operator[](std::size_t i) noexcept { return begin()[i]; }
    const T& operator[](std::size_t i) const noexcept { return begin()[i]; }
    T& back() noexcept { return begin()[size_ - 1]; }
    const T& back() const noexcept { return begin()[size_ - 1]; }
    std::span<const T> view() const noexcept { return {begin(), size_}; }
    std::span<const T> view(std::size_t first, std::size_t last) const noexcept {
        return {begin() + first, last - first};
    }

private:
    void reserve(std::size_t size) {
        if (size * sizeof(T) > bytes_.capacity()) {
            bytes_.grow(size * sizeof(T));
        }
    }

    LongBytes bytes_;
    std::size_t size_ = 0;
};

/// Opens a file without a name in `directory`. Throws OutputError with the system's reason.
int open_unnamed_file(const std::string& directory);

}  // namespace geojepa
