// A uniform grid over the segments of one piece. Finds those that may meet a given segment or box.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "process/lattice.hpp"

namespace geojepa {

/// Cells are squares whose side is a power of two. There are about as many cells as segments, and each segment is
/// listed in every cell that it meets. The walk along a path is exact: it visits each cell that contains a point of the
/// path.
class SegmentIndex {
public:
    /// Indexes the segments. Queries may reach beyond their bounds.
    explicit SegmentIndex(std::span<const LatticeSegment> segments);

    /// Calls `visit(row)` for the segments near `path`, roughly in its direction, until a call returns true.
    /// Returns whether one did. May visit a row more than once.
    template <typename Visit>
    bool any_along(const LatticeSegment& path, Visit&& visit) const;

    /// Calls `visit(row)` for the segments near the box. May visit a row more than once.
    template <typename Visit>
    void for_each_in(LatticePoint low, LatticePoint high, Visit&& visit) const;

private:
    struct RowRange {
        std::int32_t first;
        std::int32_t last;
    };

    std::int32_t column_of(std::int32_t x) const;
    std::int32_t row_of(std::int32_t y) const;
    RowRange rows_in_column(const LatticeSegment& path, std::int32_t column) const;
    template <typename Visit>
    bool any_in_cell(std::int32_t column, std::int32_t row, Visit&& visit) const;
    template <typename VisitCell>
    bool any_cell_along(const LatticeSegment& path, VisitCell&& visit) const;

    LatticePoint low_{0, 0};
    int shift_ = 0;  ///< the side of a cell is 2^shift
    std::int32_t columns_ = 0;
    std::int32_t rows_ = 0;
    std::vector<std::uint32_t> cell_begin_;
    std::vector<std::uint32_t> cell_segments_;
};

template <typename Visit>
bool SegmentIndex::any_in_cell(std::int32_t column, std::int32_t row, Visit&& visit) const {
    const std::size_t cell =
        static_cast<std::size_t>(row) * static_cast<std::size_t>(columns_) + static_cast<std::size_t>(column);
    for (std::uint32_t at = cell_begin_[cell]; at < cell_begin_[cell + 1]; ++at) {
        if (visit(cell_segments_[at])) {
            return true;
        }
    }
    return false;
}

template <typename VisitCell>
bool SegmentIndex::any_cell_along(const LatticeSegment& path, VisitCell&& visit) const {
    const std::int32_t last = column_of(path.to.x);
    const std::int32_t step = path.from.x <= path.to.x ? 1 : -1;
    for (std::int32_t column = column_of(path.from.x);; column += step) {
        const RowRange range = rows_in_column(path, column);
        const bool upwards = path.from.y <= path.to.y;
        for (std::int32_t at = range.first; at <= range.last; ++at) {
            if (visit(column, upwards ? at : range.first + range.last - at)) {
                return true;
            }
        }
        if (column == last) {
            return false;
        }
    }
}

template <typename Visit>
bool SegmentIndex::any_along(const LatticeSegment& path, Visit&& visit) const {
    if (columns_ == 0) {
        return false;
    }
    return any_cell_along(path, [&](std::int32_t column, std::int32_t row) { return any_in_cell(column, row, visit); });
}

template <typename Visit>
void SegmentIndex::for_each_in(LatticePoint low, LatticePoint high, Visit&& visit) const {
    if (columns_ == 0) {
        return;
    }
    for (std::int32_t row = row_of(low.y); row <= row_of(high.y); ++row) {
        for (std::int32_t column = column_of(low.x); column <= column_of(high.x); ++column) {
            any_in_cell(column, row, [&](std::uint32_t segment) {
                visit(segment);
                return false;
            });
        }
    }
}

}  // namespace geojepa
