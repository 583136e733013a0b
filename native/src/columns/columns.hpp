// Columns of a file, as native/schema.yaml lays them out: HDF5 datasets that a reader may map into memory.
//
// Every dataset is contiguous, uncompressed and aligned to 64 bytes, and no times are kept: the same columns give the
// same bytes. An empty column is a dataset of zero rows; it has no address in the file (h5py's `get_offset()` is
// None there), so that a mapping reader must ask for its length first. Only this unit includes HDF5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "columns/schema.hpp"

namespace geojepa {

enum class ElementType { u8, u16, u32, u64, i32, i64, f32, f64 };

template <typename T>
constexpr ElementType element_type() {
    if constexpr (std::is_same_v<T, std::uint8_t>) {
        return ElementType::u8;
    } else if constexpr (std::is_same_v<T, std::uint16_t>) {
        return ElementType::u16;
    } else if constexpr (std::is_same_v<T, std::uint32_t>) {
        return ElementType::u32;
    } else if constexpr (std::is_same_v<T, std::uint64_t>) {
        return ElementType::u64;
    } else if constexpr (std::is_same_v<T, std::int32_t>) {
        return ElementType::i32;
    } else if constexpr (std::is_same_v<T, std::int64_t>) {
        return ElementType::i64;
    } else if constexpr (std::is_same_v<T, float>) {
        return ElementType::f32;
    } else {
        static_assert(std::is_same_v<T, double>, "no column has this type");
        return ElementType::f64;
    }
}

/// Writes a new file. Throws OutputError with the system's reason when anything cannot be written; a file that was not
/// closed is removed.
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

    /// Makes a column of `rows` rows, to be filled by `write_at`.
    template <typename T>
    void create(schema::Column<T> column, std::size_t rows) {
        create(column.path, element_type<T>(), column.width, rows);
    }

    /// Fills rows from `first_row` on of a column made by `create`.
    template <typename T>
    void write_at(schema::Column<T> column, std::size_t first_row, std::type_identity_t<std::span<const T>> values) {
        write_rows(column.path, first_row, values.size() / column.width, values.data());
    }

    /// Flushes everything to the disk. Without it the file is not complete.
    void close();

private:
    struct State;
    void create(const char* path, ElementType type, std::size_t width, std::size_t rows);
    void write_rows(const char* path, std::size_t first_row, std::size_t rows, const void* values);

    std::unique_ptr<State> state_;
};

/// Fills a column of known length piece by piece, with one buffer's worth of memory.
template <typename T>
class ColumnStream {
public:
    ColumnStream(ColumnWriter& writer, schema::Column<T> column, std::size_t rows) : writer_(writer), column_(column) {
        writer.create(column, rows);
    }

    /// Adds one value; rows are complete after `width` of them.
    void push(T value) {
        buffer_.push_back(value);
        if (buffer_.size() >= buffer_values && buffer_.size() % column_.width == 0) {
            flush();
        }
    }

    /// Writes what is buffered. To be called at the end.
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

/// A column of a file as an array, mapped where the file allows it, so that it takes no memory of the process's own.
template <typename T>
class MappedColumn {
public:
    std::size_t size() const noexcept { return view_.size(); }
    const T& operator[](std::size_t i) const noexcept { return view_[i]; }
    std::span<const T> view() const noexcept { return view_; }
    std::span<const T> view(std::size_t first, std::size_t last) const noexcept {
        return view_.subspan(first, last - first);
    }

private:
    friend class ColumnReader;
    std::shared_ptr<const void> mapping_;
    std::span<const T> view_;
};

/// Reads a file. Throws InputError where it cannot be opened or is damaged, SchemaError where a column is missing or
/// has another type or width than the schema says.
class ColumnReader {
public:
    explicit ColumnReader(const std::string& path);
    ~ColumnReader();
    ColumnReader(const ColumnReader&) = delete;
    ColumnReader& operator=(const ColumnReader&) = delete;

    bool has(const char* path) const;
    std::uint32_t u32_attribute(const char* name) const;
    std::string string_attribute(const char* name) const;

    /// Rows of a column.
    template <typename T>
    std::size_t rows(schema::Column<T> column) const {
        return checked_rows(column.path, element_type<T>(), column.width);
    }

    template <typename T>
    std::vector<T> read(schema::Column<T> column) const {
        return read(column, 0, rows(column));
    }

    /// All values of a column.
    template <typename T>
    MappedColumn<T> map(schema::Column<T> column) const {
        MappedColumn<T> mapped;
        const std::size_t values = rows(column) * column.width;
        const void* bytes = map_bytes(column.path, values * sizeof(T), mapped.mapping_);
        if (bytes != nullptr) {
            mapped.view_ = {static_cast<const T*>(bytes), values};
        } else {
            auto copy = std::make_shared<const std::vector<T>>(read(column));
            mapped.view_ = *copy;
            mapped.mapping_ = std::move(copy);
        }
        return mapped;
    }

    /// Rows [first_row, last_row) of a column.
    template <typename T>
    std::vector<T> read(schema::Column<T> column, std::size_t first_row, std::size_t last_row) const {
        const std::size_t present = rows(column);
        check_range(column.path, first_row, last_row, present);
        std::vector<T> values((last_row - first_row) * column.width);
        read_rows(column.path, first_row, last_row - first_row, values.data());
        return values;
    }

private:
    struct State;
    std::size_t checked_rows(const char* path, ElementType type, std::size_t width) const;
    void check_range(const char* path, std::size_t first_row, std::size_t last_row, std::size_t present) const;
    void read_rows(const char* path, std::size_t first_row, std::size_t rows, void* values) const;
    /// Null where the column is empty or does not lie in the file as an array of these bytes.
    const void* map_bytes(const char* path, std::size_t bytes, std::shared_ptr<const void>& mapping) const;

    std::unique_ptr<State> state_;
};

/// Version of the HDF5 library, for `--version`.
std::string hdf5_version();

}  // namespace geojepa
