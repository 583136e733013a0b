// Builds the grid and walks through it.
#include "process/segment_index.hpp"

#include <algorithm>

namespace geojepa {
namespace {

std::int64_t floor_divide(std::int64_t a, std::int64_t positive) {
    const std::int64_t quotient = a / positive;
    return a % positive < 0 ? quotient - 1 : quotient;
}

}  // namespace

SegmentIndex::SegmentIndex(std::span<const LatticeSegment> segments) {
    if (segments.empty()) {
        return;
    }
    LatticePoint high = segments.front().from;
    low_ = high;
    for (const LatticeSegment& segment : segments) {
        for (const LatticePoint point : {segment.from, segment.to}) {
            low_ = {std::min(low_.x, point.x), std::min(low_.y, point.y)};
            high = {std::max(high.x, point.x), std::max(high.y, point.y)};
        }
    }
    const auto cells_at = [&](int shift) {
        return (((std::int64_t{high.x} - low_.x) >> shift) + 1) * (((std::int64_t{high.y} - low_.y) >> shift) + 1);
    };
    while (cells_at(shift_) > 4 + 2 * static_cast<std::int64_t>(segments.size())) {
        ++shift_;
    }
    columns_ = ((high.x - low_.x) >> shift_) + 1;
    rows_ = ((high.y - low_.y) >> shift_) + 1;

    cell_begin_.assign(static_cast<std::size_t>(columns_) * static_cast<std::size_t>(rows_) + 1, 0);
    const auto each_cell = [&](auto&& visit) {
        for (std::uint32_t at = 0; at < segments.size(); ++at) {
            any_cell_along(segments[at], [&](std::int32_t column, std::int32_t row) {
                visit(static_cast<std::size_t>(row) * static_cast<std::size_t>(columns_) +
                          static_cast<std::size_t>(column),
                      at);
                return false;
            });
        }
    };
    each_cell([&](std::size_t cell, std::uint32_t) { ++cell_begin_[cell + 1]; });
    for (std::size_t cell = 1; cell < cell_begin_.size(); ++cell) {
        cell_begin_[cell] += cell_begin_[cell - 1];
    }
    cell_segments_.resize(cell_begin_.back());
    std::vector<std::uint32_t> next{cell_begin_.begin(), cell_begin_.end() - 1};
    each_cell([&](std::size_t cell, std::uint32_t segment) { cell_segments_[next[cell]++] = segment; });
}

std::int32_t SegmentIndex::column_of(std::int32_t x) const {
    return std::clamp((x - low_.x) >> shift_, 0, columns_ - 1);
}

std::int32_t SegmentIndex::row_of(std::int32_t y) const {
    return std::clamp((y - low_.y) >> shift_, 0, rows_ - 1);
}

/// Rows of the cells that the path meets in a column: its y range between the two edges of the column, rounded
/// outwards.
SegmentIndex::RowRange SegmentIndex::rows_in_column(const LatticeSegment& path, std::int32_t column) const {
    const bool eastwards = path.from.x <= path.to.x;
    const LatticePoint west = eastwards ? path.from : path.to;
    const LatticePoint east = eastwards ? path.to : path.from;
    if (column_of(west.x) == column_of(east.x)) {
        return {row_of(std::min(west.y, east.y)), row_of(std::max(west.y, east.y))};
    }
    const std::int64_t run = std::int64_t{east.x} - west.x;
    const std::int64_t rise = std::int64_t{east.y} - west.y;
    // The y of the path at an edge, rounded down and up. Where the path ends before the edge, and in the outermost
    // columns, which also represent what lies beyond the grid, the end of the path takes its place.
    const auto y_at = [&](std::int64_t x) {
        const std::int64_t numerator = rise * (x - west.x);
        return RowRange{static_cast<std::int32_t>(west.y + floor_divide(numerator, run)),
                        static_cast<std::int32_t>(west.y - floor_divide(-numerator, run))};
    };
    const std::int64_t left = low_.x + (std::int64_t{column} << shift_);
    const std::int64_t right = left + (std::int64_t{1} << shift_);
    const RowRange enter = column == 0 || left <= west.x ? RowRange{west.y, west.y} : y_at(left);
    const RowRange leave = column == columns_ - 1 || right >= east.x ? RowRange{east.y, east.y} : y_at(right);
    return {row_of(std::min(enter.first, leave.first)), row_of(std::max(enter.last, leave.last))};
}

}  // namespace geojepa
