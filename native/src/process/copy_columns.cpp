// Copies column by column, a block of rows at a time.
#include "process/copy_columns.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "errors.hpp"
#include "process/tile_batch.hpp"

namespace geojepa {
namespace {

template <typename T>
void copy_column(const ColumnReader& input, ColumnWriter& output, schema::Column<T> column) {
    constexpr std::size_t block_rows = std::size_t{1} << 18U;
    const MappedColumn<T> values = input.map(column);
    const std::size_t rows = values.size() / column.width;
    output.create(column, rows);
    for (std::size_t row = 0; row < rows; row += block_rows) {
        output.write_at(column, row, values.view(row * column.width, std::min(rows, row + block_rows) * column.width));
    }
}

/// Copies offsets, with 4 bytes each where the last one fits.
void copy_offsets(const ColumnReader& input, ColumnWriter& output, schema::Column<std::uint64_t> wide,
                  schema::Column<std::uint32_t> narrow) {
    const MappedColumn<std::uint64_t> offsets = input.map(wide);
    if (offsets.size() == 0 || !std::is_sorted(offsets.view().begin(), offsets.view().end())) {
        throw InputError(std::string{"the input is damaged: the offsets of `"} + wide.path + "` are not ascending");
    }
    if (offsets[offsets.size() - 1] > std::numeric_limits<std::uint32_t>::max()) {
        copy_column(input, output, wide);
        return;
    }
    ColumnStream<std::uint32_t> copied{output, narrow, offsets.size()};
    for (const std::uint64_t offset : offsets.view()) {
        copied.push(static_cast<std::uint32_t>(offset));
    }
    copied.flush();
}

/// Writes members as rows that name their relation, since few objects are relations.
void copy_members(const ColumnReader& input, ColumnWriter& output) {
    const MappedColumn<std::uint64_t> members = input.map(schema::object_members);
    const std::size_t rows = input.rows(schema::member_object);
    if (members.size() == 0 || members[0] != 0 || members[members.size() - 1] != rows) {
        throw InputError("the input is damaged: `object/members` does not cover every member");
    }
    ColumnStream<std::uint32_t> relation{output, schema::member_relation, rows};
    std::size_t object = 0;
    for (std::size_t row = 0; row < rows; ++row) {
        while (members[object + 1] <= row) {
            ++object;
        }
        relation.push(static_cast<std::uint32_t>(object));
    }
    relation.flush();
    copy_column(input, output, schema::member_object);
    copy_column(input, output, schema::member_role);
}

}  // namespace

void copy_unchanged_columns(const ColumnReader& input, ColumnWriter& output) {
    const auto copy = [&](auto... columns) { (copy_column(input, output, columns), ...); };
    copy(schema::tile_z, schema::tile_x, schema::tile_y, schema::tile_east_m, schema::tile_north_m);
    copy_offsets(input, output, schema::tile_pieces, schema::tile_pieces_u32);
    copy(schema::object_osm_type, schema::object_osm_id, schema::object_version);
    copy(schema::object_kind, schema::object_token);
    copy_offsets(input, output, schema::object_tags, schema::object_tags_u32);
    copy(schema::piece_object, schema::piece_area_m2, schema::piece_length_m, schema::piece_covers_tile);
    copy_offsets(input, output, schema::piece_parts, schema::piece_parts_u32);
    copy(schema::part_role, schema::tag_vocab);
    copy_members(input, output);
    copy_offsets(input, output, schema::role_text, schema::role_text_u32);
    copy_offsets(input, output, schema::vocab_key, schema::vocab_key_u32);
    copy_offsets(input, output, schema::vocab_value, schema::vocab_value_u32);
    copy(schema::role_text_utf8, schema::vocab_key_utf8, schema::vocab_value_utf8, schema::vocab_count);
}

}  // namespace geojepa
