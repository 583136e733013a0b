// A column whose length is not known before it is complete: kept in an unnamed file beside the output until then.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "columns.hpp"

namespace geojepa {

/// Bytes in the order in which they came. The file has no name left once it is open, so a killed run leaves nothing.
/// Throws OutputError with the system's reason when it cannot be written.
class Spool {
public:
    /// `beside`: path whose directory takes the file.
    explicit Spool(const std::string& beside);

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
    ColumnSpool(const std::string& beside, schema::Column<T> column) : spool_{beside}, column_{column} {}

    void append(std::span<const T> values) {
        spool_.append(values.data(), values.size_bytes());
        values_ += values.size();
    }

    /// Writes the column.
    void move_to(ColumnWriter& writer) {
        constexpr std::size_t rows_at_once = std::size_t{1} << 17U;
        const std::size_t rows = values_ / column_.width;
        writer.create(column_, rows);
        spool_.rewind();
        std::vector<T> buffer;
        for (std::size_t row = 0; row < rows; row += rows_at_once) {
            buffer.resize(std::min(rows_at_once, rows - row) * column_.width);
            spool_.read(buffer.data(), buffer.size() * sizeof(T));
            writer.write_at(column_, row, std::span<const T>{buffer});
        }
    }

private:
    Spool spool_;
    schema::Column<T> column_;
    std::size_t values_ = 0;
};

}  // namespace geojepa
