// The columns that `process` takes over from `tiles.h5`.
#pragma once

#include "columns/column_reader.hpp"
#include "columns/column_writer.hpp"

namespace geojepa {

/// Copies everything except vertices. Offsets take 4 bytes where the last one fits, and members name their relation.
/// Leaves out the number of absent members, which describes only the input. Throws InputError where offsets are
/// damaged.
void copy_unchanged_columns(const ColumnReader& input, ColumnWriter& output);

}  // namespace geojepa
