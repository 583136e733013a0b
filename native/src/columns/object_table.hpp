// All objects of the file, their tags and members, and the vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "clip/cut.hpp"
#include "columns/columns.hpp"
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

    /// The vocabulary takes up to `vocabulary_bytes` of memory, all else is in `arrays`.
    ObjectTable(ArrayMemory& arrays, std::size_t vocabulary_bytes);

    /// Takes an object out of `result`; returns its number, which counts objects in the order of their arrival.
    std::uint32_t add(const CutObject& object, const CutResult& result);

    std::size_t size() const noexcept { return rows_.size(); }

    /// Sorts the objects by type and id. No object is to be added afterwards.
    void finish();

    /// The row that the object with this number has in the file.
    std::uint32_t row_of(std::uint32_t number) const { return row_of_.empty() ? number : row_of_[number]; }

    /// Writes `object/`, `tag/`, `vocab/`, `member/` and `role/`. To be called once.
    Counts write(ColumnWriter& writer);

private:
    struct Row {
        std::uint64_t key;
        std::int64_t id;
        std::uint64_t first_tag;
        std::uint64_t first_member;
        std::uint32_t tags;
        std::uint32_t members;
        std::uint32_t version;
        std::uint32_t absent_members;
        schema::OsmType type;
        schema::Kind kind;
        schema::Token token;
    };
    struct MemberRow {
        std::uint64_t object_key;
        std::uint32_t role;
    };
    struct Place {
        std::uint64_t key;
        std::uint32_t number;
    };

    const Row& row(std::size_t i) const { return order_.empty() ? rows_[i] : rows_[order_[i].number]; }
    /// The row of the object with this key, or `size()`.
    std::size_t find(std::uint64_t key) const;
    void write_objects(ColumnWriter& writer) const;
    Counts write_tags(ColumnWriter& writer);
    std::uint64_t write_members(ColumnWriter& writer);

    ArrayMemory* arrays_;
    LongArray<Row> rows_;
    LongArray<std::uint32_t> tags_;  // the vocabulary's numbers
    LongArray<MemberRow> members_;
    Vocabulary vocabulary_;
    Vocabulary roles_;  // as keys without a value
    // Empty where objects arrived in the order of the file.
    LongArray<Place> order_;
    LongArray<std::uint32_t> row_of_;
};

}  // namespace geojepa
