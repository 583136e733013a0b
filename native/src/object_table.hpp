// All objects of the file, their tags and members, and the vocabulary.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "columns.hpp"
#include "cut.hpp"
#include "schema.hpp"
#include "tags.hpp"

namespace geojepa {

class ObjectTable {
public:
    struct Counts {
        std::uint64_t tags = 0;
        std::uint64_t vocab = 0;
        std::uint64_t members = 0;
    };

    /// Takes an object out of `result`; returns its number, which counts objects in the order of their arrival.
    std::uint32_t add(const CutObject& object, const CutResult& result);

    std::size_t size() const noexcept { return rows_.size(); }

    /// Sorts the objects by type and id. No object is to be added afterwards.
    void finish();

    /// The row that the object with this number has in the file.
    std::uint32_t row_of(std::uint32_t number) const { return row_of_[number]; }

    /// Writes `object/`, `tag/`, `vocab/`, `member/` and `role/`.
    Counts write(ColumnWriter& writer) const;

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

    void write_objects(ColumnWriter& writer) const;
    Counts write_tags(ColumnWriter& writer) const;
    std::uint64_t write_members(ColumnWriter& writer) const;

    std::vector<Row> rows_;
    std::vector<std::uint32_t> tags_;  // the vocabulary's numbers
    std::vector<MemberRow> members_;
    Vocabulary vocabulary_;
    std::map<std::string, std::uint32_t, std::less<>> roles_;
    std::vector<std::uint32_t> order_;  // numbers in the order of rows
    std::vector<std::uint32_t> row_of_;
};

}  // namespace geojepa
