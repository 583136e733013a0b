// A column whose length is unknown until it is complete, kept in an unnamed file next to the output until then.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "columns/column_writer.hpp"

namespace geojepa {

/// A temporary file in the directory of the output. It has no name, so a killed run leaves nothing behind. Throws
/// OutputError with the system's reason where it cannot be written or read.
class Spool {
public:
    explicit Spool(const std::string& output);

    void append(const void* bytes, std::size_t count);
    void rewind();
    void read(void* bytes, std::size_t count);

private:
    struct Close {
        void operator()(std::FILE* file) const noexcept { (void)std::fclose(file); }
    };

    std::string path_;
    std::unique_ptr<std::FILE, Close> file_;
};

template <typename T>
class ColumnSpool {
public:
    ColumnSpool(const std::string& output, schema::Column<T> column) : spool_{output}, column_{column} {}

    void append(std::span<const T> values) {
        spool_.append(values.data(), values.size_bytes());
        values_ += values.size();
    }

    /// Writes the column.
    void move_to(ColumnWriter& writer) {
        constexpr std::size_t block_rows = std::size_t{1} << 17U;
        const std::size_t rows = values_ / column_.width;
        writer.create(column_, rows);
        spool_.rewind();
        std::vector<T> buffer;
        for (std::size_t row = 0; row < rows; row += block_rows) {
            buffer.resize(std::min(block_rows, rows - row) * column_.width);
            spool_.read(buffer.data(), buffer.size() * sizeof(T));
            writer.write_at(column_, row, std::span<const T>{buffer});
        }
    }

private:
    Spool spool_;
    schema::Column<T> column_;
    std::size_t values_ = 0;
};

/// Offsets whose last one, and with it their width, is known only at the end. The file holds the number of children of
/// each row.
class OffsetSpool {
public:
    OffsetSpool(const std::string& output, schema::Column<std::uint32_t> narrow, schema::Column<std::uint64_t> wide)
        : spool_{output}, narrow_{narrow}, wide_{wide} {}

    void append(std::span<const std::uint32_t> sizes) {
        spool_.append(sizes.data(), sizes.size_bytes());
        rows_ += sizes.size();
        total_ = std::accumulate(sizes.begin(), sizes.end(), total_);
    }

    /// Writes the column, with 4 bytes for each offset where the last one fits.
    void move_to(ColumnWriter& writer) {
        if (total_ <= std::numeric_limits<std::uint32_t>::max()) {
            move_as(writer, narrow_);
        } else {
            move_as(writer, wide_);
        }
    }

private:
    template <typename T>
    void move_as(ColumnWriter& writer, schema::Column<T> column) {
        constexpr std::size_t block_rows = std::size_t{1} << 17U;
        ColumnStream<T> offsets{writer, column, rows_ + 1};
        offsets.push(0);
        spool_.rewind();
        std::vector<std::uint32_t> sizes;
        std::uint64_t end = 0;
        for (std::size_t row = 0; row < rows_; row += sizes.size()) {
            sizes.resize(std::min(block_rows, rows_ - row));
            spool_.read(sizes.data(), sizes.size() * sizeof(std::uint32_t));
            for (const std::uint32_t size : sizes) {
                offsets.push(static_cast<T>(end += size));
            }
        }
        offsets.flush();
    }

    Spool spool_;
    schema::Column<std::uint32_t> narrow_;
    schema::Column<std::uint64_t> wide_;
    std::size_t rows_ = 0;
    std::uint64_t total_ = 0;
};

}  // namespace geojepa
