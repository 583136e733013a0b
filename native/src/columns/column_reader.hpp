// Reads the columns of a file, or maps them into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "columns/element_type.hpp"
#include "columns/schema.hpp"

namespace geojepa {

/// A column of a file as an array. It is mapped where the file allows it, and then takes no private memory.
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

/// Reads a file. Throws InputError where it cannot be opened or is damaged, and SchemaError where a column is missing
/// or its type or width differs from the schema.
class ColumnReader {
public:
    explicit ColumnReader(const std::string& path);
    ~ColumnReader();
    ColumnReader(const ColumnReader&) = delete;
    ColumnReader& operator=(const ColumnReader&) = delete;

    bool has(const char* path) const;
    std::uint32_t u32_attribute(const char* name) const;
    std::string string_attribute(const char* name) const;

    /// Number of rows of a column.
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
    /// Returns null where the column is empty or cannot be mapped: not contiguous, or another byte order.
    const void* map_bytes(const char* path, std::size_t bytes, std::shared_ptr<const void>& mapping) const;

    std::unique_ptr<State> state_;
};

}  // namespace geojepa
