// What the column writer and the column reader share of HDF5. Only they may include this file.
#pragma once

#include <hdf5.h>

#include <cstddef>
#include <mutex>
#include <string>
#include <utility>

#include "columns/element_type.hpp"

namespace geojepa::hdf5 {

/// An HDF5 handle, closed by the destructor.
class Handle {
public:
    using Close = herr_t (*)(hid_t);

    Handle(hid_t id, Close close) : id_(id), close_(close) {}
    ~Handle() { reset(); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
    Handle& operator=(Handle&&) = delete;

    hid_t get() const noexcept { return id_; }
    bool valid() const noexcept { return id_ >= 0; }
    /// Gives the handle up without closing it.
    void abandon() noexcept { id_ = -1; }
    /// Closes the handle. Returns false where that fails.
    bool reset() noexcept { return id_ < 0 || close_(std::exchange(id_, -1)) >= 0; }

private:
    hid_t id_;
    Close close_;
};

/// To be locked for every call: the library is not thread-safe.
std::mutex& library_lock();

/// To be called before the first use of the library, under the lock. May be called repeatedly.
void set_up_library();

/// The reason why the last call failed.
struct Failure {
    /// The system's message where there is one, else HDF5's.
    std::string reason;
    /// Whether the disk is full.
    bool no_space = false;
};

/// Reads and clears the error stack of the library.
Failure take_failure();

/// The type of a column in the file. All are little-endian.
hid_t file_type(ElementType type);

/// Selects `rows` rows of `space`, starting at row `first`. Returns the shape of these rows in memory.
Handle select_rows(hid_t space, std::size_t first, std::size_t rows);

/// Returns the type of UTF-8 strings of `size` bytes.
Handle utf8_string_type(std::size_t size);

}  // namespace geojepa::hdf5
