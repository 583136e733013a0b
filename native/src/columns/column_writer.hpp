// Writes the columns of a file, as native/schema.yaml lays them out.
//
// Every column is an HDF5 dataset, contiguous, uncompressed and aligned to 64 bytes, so that a reader can map it into
// memory. No times are stored: the same columns give the same bytes. An empty column is a dataset of zero rows, which
// has no address in the file (h5py's `get_offset()` returns None), so a reader that maps must check the length first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "columns/element_type.hpp"
#include "columns/schema.hpp"

namespace geojepa {

/// Writes a new file. Throws OutputError with the system's reason where anything cannot be written. The destructor
/// removes a file that was not closed.
class ColumnWriter {
public:
    explicit ColumnWriter(const std::string& path);
    ~ColumnWriter();
    ColumnWriter(const ColumnWriter&) = delete;
    ColumnWriter& operator=(const ColumnWriter&) = delete;

    void set_attribute(const char* name, std::uint32_t value);
    void set_attribute(const char* name, const std::string& value);

    /// Writes a whole column: `values` holds `column.width` values for each row.
    template <typename T>
    void write(schema::Column<T> column, std::type_identity_t<std::span<const T>> values) {
        create(column.path, element_type<T>(), column.width, values.size() / column.width);
        write_rows(column.path, 0, values.size() / column.width, values.data());
    }

    /// Creates a column of `rows` rows, to be filled by `write_at`.
    template <typename T>
    void create(schema::Column<T> column, std::size_t rows) {
        create(column.path, element_type<T>(), column.width, rows);
    }

    /// Writes rows of a column made by `create`, starting at `first_row`.
    template <typename T>
    void write_at(schema::Column<T> column, std::size_t first_row, std::type_identity_t<std::span<const T>> values) {
        write_rows(column.path, first_row, values.size() / column.width, values.data());
    }

    /// Flushes and closes the file, which is incomplete before.
    void close();

private:
    struct State;
    void create(const char* path, ElementType type, std::size_t width, std::size_t rows);
    void write_rows(const char* path, std::size_t first_row, std::size_t rows, const void* values);

    std::unique_ptr<State> state_;
};

/// Writes a column of known length value by value through a buffer.
template <typename T>
class ColumnStream {
public:
    ColumnStream(ColumnWriter& writer, schema::Column<T> column, std::size_t rows) : writer_(writer), column_(column) {
        writer.create(column, rows);
    }

    /// Adds one value. Every `width` values make a row.
    void push(T value) {
        buffer_.push_back(value);
        if (buffer_.size() >= buffer_values && buffer_.size() % column_.width == 0) {
            flush();
        }
    }

    /// Writes the buffered values. Must be called at the end.
    void flush() {
        writer_.write_at(column_, rows_, buffer_);
        rows_ += buffer_.size() / column_.width;
        buffer_.clear();
    }

private:
    static constexpr std::size_t buffer_values = std::size_t{1} << 16U;

    ColumnWriter& writer_;
    schema::Column<T> column_;
    std::vector<T> buffer_;
    std::size_t rows_ = 0;
};

/// Version of the HDF5 library, for `--version`.
std::string hdf5_version();

}  // namespace geojepa
