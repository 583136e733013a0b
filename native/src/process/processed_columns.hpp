// The columns that `process` adds: boxes, vertices and visibility edges.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "columns/column_spool.hpp"
#include "columns/column_writer.hpp"
#include "process/tile_batch.hpp"
#include "process/tile_processor.hpp"

namespace geojepa {

/// Filled batch by batch, in the order of the file. The number of vertices and edges is known only at the end, so they
/// are kept in temporary files next to the output until then.
class ProcessedColumns {
public:
    ProcessedColumns(ColumnWriter& writer, const std::string& path, std::uint32_t zoom, const Directory& directory);

    void append(const ProcessedRows& rows);
    /// Writes the columns whose length is known only now.
    void finish();

private:
    void append_boxes(const std::vector<StoredBox>& boxes);
    void append_nodes(std::span<const LatticePoint> nodes);
    std::uint16_t fixed_point(double tile_units) const;

    ColumnWriter& writer_;
    Lattice lattice_;
    ColumnSpool<std::uint16_t> xy_u16_;
    ColumnSpool<float> xy_f32_;
    ColumnSpool<std::uint32_t> ends_;
    OffsetSpool piece_edges_;
    OffsetSpool part_nodes_;
    bool is_u16_;
    std::size_t pieces_ = 0;
};

}  // namespace geojepa
