// The objects of the file with their tags and members, and the vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "clip/cut.hpp"
#include "columns/column_writer.hpp"
#include "columns/schema.hpp"
#include "columns/vocabulary.hpp"
#include "read/long_array.hpp"

namespace geojepa {

class ObjectTable {
public:
    struct Counts {
        std::uint64_t tags = 0;
        std::uint64_t vocab = 0;
        std::uint64_t members = 0;
    };

    /// The vocabulary takes up to `vocabulary_bytes` of memory. Everything else is in `arrays`.
    ObjectTable(ArrayMemory& arrays, std::size_t vocabulary_bytes);

    /// Adds an object of `result`. Returns its number in the order of arrival.
    std::uint32_t add(const CutObject& object, const CutResult& result);

    std::size_t size() const noexcept { return rows_.size(); }

    /// Sorts the objects by type and id. No object may be added afterwards.
    void finish();

    /// The row in the file of the object with this number.
    std::uint32_t row_of(std::uint32_t number) const { return row_of_.empty() ? number : row_of_[number]; }

    /// Writes `object/`, `tag/`, `vocab/`, `member/` and `role/`. Must be called once.
    Counts write(ColumnWriter& writer);

private:
    struct Row {
        std::uint64_t key = 0;
        std::int64_t id = 0;
        std::uint64_t first_tag = 0;
        std::uint64_t first_member = 0;
        std::uint32_t tags = 0;
        std::uint32_t members = 0;
        std::uint32_t version = 0;
        std::uint32_t absent_members = 0;
        schema::OsmType type = schema::OsmType::node;
        schema::Kind kind = schema::Kind::point;
        schema::Token token = schema::Token::entity;
    };
    struct MemberRow {
        std::uint64_t object_key = 0;
        std::uint32_t role = 0;
    };
    struct SortedRow {
        std::uint64_t key = 0;
        std::uint32_t number = 0;
    };

    const Row& row(std::size_t i) const { return order_.empty() ? rows_[i] : rows_[order_[i].number]; }
    /// The row of the object with this key, or `size()`.
    std::size_t find(std::uint64_t key) const;
    void write_objects(ColumnWriter& writer) const;
    Counts write_tags(ColumnWriter& writer);
    std::uint64_t write_members(ColumnWriter& writer);

    ArrayMemory* arrays_;
    LongArray<Row> rows_;
    LongArray<std::uint32_t> tags_;  // numbers in the vocabulary
    LongArray<MemberRow> members_;
    Vocabulary vocabulary_;
    Vocabulary roles_;  // the keys of pairs without values
    // Both are empty where objects arrived in the order of the file.
    LongArray<SortedRow> order_;
    LongArray<std::uint32_t> row_of_;
};

}  // namespace geojepa
