// Objects arrive in any order and are written in that of the file.
#include "object_table.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "errors.hpp"
#include "pieces.hpp"

namespace geojepa {
namespace {

/// A string column: offsets, then the bytes.
class TextColumn {
public:
    void add(std::string_view text) {
        bytes_.insert(bytes_.end(), text.begin(), text.end());
        offsets_.push_back(bytes_.size());
    }
    void write(ColumnWriter& writer, schema::Column<std::uint64_t> offsets, schema::Column<std::uint8_t> utf8) const {
        writer.write(offsets, offsets_);
        writer.write(utf8, bytes_);
    }

private:
    std::vector<std::uint64_t> offsets_{0};
    std::vector<std::uint8_t> bytes_;
};

}  // namespace

std::uint32_t ObjectTable::add(const CutObject& object, const CutResult& result) {
    if (rows_.size() >= std::numeric_limits<std::uint32_t>::max()) {
        throw InputError("more than 4,294,967,294 objects", "--bbox takes a part of the input");
    }
    Row row{object_key(object.type, object.id),
            object.id,
            tags_.size(),
            members_.size(),
            static_cast<std::uint32_t>(object.last_tag - object.first_tag),
            static_cast<std::uint32_t>(object.last_member - object.first_member),
            object.version,
            object.absent_members,
            object.type,
            object.kind,
            object.token};
    for (std::size_t i = object.first_tag; i < object.last_tag; ++i) {
        tags_.push_back(vocabulary_.intern(result.tags[i]));
    }
    for (std::size_t i = object.first_member; i < object.last_member; ++i) {
        const Member& member = result.members[i];
        auto role = roles_.find(member.role);
        if (role == roles_.end()) {
            role = roles_.emplace(std::string{member.role}, static_cast<std::uint32_t>(roles_.size())).first;
        }
        members_.push_back({object_key(member.type, member.ref), role->second});
    }
    rows_.push_back(row);
    return static_cast<std::uint32_t>(rows_.size() - 1);
}

void ObjectTable::finish() {
    order_.resize(rows_.size());
    std::iota(order_.begin(), order_.end(), 0U);
    std::sort(order_.begin(), order_.end(),
              [this](std::uint32_t a, std::uint32_t b) { return rows_[a].key < rows_[b].key; });
    row_of_.resize(rows_.size());
    for (std::size_t i = 0; i < order_.size(); ++i) {
        row_of_[order_[i]] = static_cast<std::uint32_t>(i);
    }
}

ObjectTable::Counts ObjectTable::write(ColumnWriter& writer) const {
    write_objects(writer);
    Counts counts = write_tags(writer);
    counts.members = write_members(writer);
    return counts;
}

void ObjectTable::write_objects(ColumnWriter& writer) const {
    ColumnStream type{writer, schema::object_osm_type, rows_.size()};
    ColumnStream id{writer, schema::object_osm_id, rows_.size()};
    ColumnStream version{writer, schema::object_version, rows_.size()};
    ColumnStream kind{writer, schema::object_kind, rows_.size()};
    ColumnStream token{writer, schema::object_token, rows_.size()};
    ColumnStream absent{writer, schema::object_absent_members, rows_.size()};
    for (const std::uint32_t number : order_) {
        const Row& row = rows_[number];
        type.push(static_cast<std::uint8_t>(row.type));
        id.push(row.id);
        version.push(row.version);
        kind.push(static_cast<std::uint8_t>(row.kind));
        token.push(static_cast<std::uint8_t>(row.token));
        absent.push(row.absent_members);
    }
    type.flush();
    id.flush();
    version.flush();
    kind.flush();
    token.flush();
    absent.flush();
}

ObjectTable::Counts ObjectTable::write_tags(ColumnWriter& writer) const {
    const std::vector<std::uint32_t> sorted = vocabulary_.sorted();
    std::vector<std::uint32_t> vocab_row(sorted.size());
    TextColumn keys;
    TextColumn values;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        vocab_row[sorted[i]] = static_cast<std::uint32_t>(i);
        keys.add(vocabulary_.pair(sorted[i]).key);
        values.add(vocabulary_.pair(sorted[i]).value);
    }
    std::vector<std::uint64_t> counts(sorted.size());
    ColumnStream offsets{writer, schema::object_tags, rows_.size() + 1};
    ColumnStream tags{writer, schema::tag_vocab, tags_.size()};
    std::uint64_t written = 0;
    offsets.push(0);
    std::vector<std::uint32_t> of_object;
    for (const std::uint32_t number : order_) {
        const Row& row = rows_[number];
        of_object.clear();
        for (std::uint64_t i = row.first_tag; i < row.first_tag + row.tags; ++i) {
            of_object.push_back(vocab_row[tags_[i]]);
        }
        std::sort(of_object.begin(), of_object.end());
        for (const std::uint32_t tag : of_object) {
            ++counts[tag];
            tags.push(tag);
        }
        written += row.tags;
        offsets.push(written);
    }
    offsets.flush();
    tags.flush();
    keys.write(writer, schema::vocab_key, schema::vocab_key_utf8);
    values.write(writer, schema::vocab_value, schema::vocab_value_utf8);
    writer.write(schema::vocab_count, counts);
    return {written, sorted.size(), 0};
}

std::uint64_t ObjectTable::write_members(ColumnWriter& writer) const {
    std::vector<std::uint64_t> offsets{0};
    std::vector<std::uint32_t> objects;
    std::vector<std::uint32_t> roles;
    const auto row_by_key = [this](std::uint64_t key) {
        return std::lower_bound(order_.begin(), order_.end(), key,
                                [this](std::uint32_t number, std::uint64_t k) { return rows_[number].key < k; });
    };
    offsets.reserve(order_.size() + 1);
    for (const std::uint32_t number : order_) {
        const Row& row = rows_[number];
        for (std::uint64_t i = row.first_member; i < row.first_member + row.members; ++i) {
            const auto found = row_by_key(members_[i].object_key);
            if (found != order_.end() && rows_[*found].key == members_[i].object_key) {
                objects.push_back(static_cast<std::uint32_t>(found - order_.begin()));
                roles.push_back(members_[i].role);
            }
        }
        offsets.push_back(objects.size());
    }
    // Only roles that are used; the map has them in the order of their bytes.
    std::vector<bool> used(roles_.size());
    for (const std::uint32_t role : roles) {
        used[role] = true;
    }
    std::vector<std::uint32_t> role_row(roles_.size());
    TextColumn texts;
    std::uint32_t next = 0;
    for (const auto& [text, number] : roles_) {
        if (used[number]) {
            role_row[number] = next++;
            texts.add(text);
        }
    }
    for (std::uint32_t& role : roles) {
        role = role_row[role];
    }
    writer.write(schema::object_members, offsets);
    writer.write(schema::member_object, objects);
    writer.write(schema::member_role, roles);
    texts.write(writer, schema::role_text, schema::role_text_utf8);
    return objects.size();
}

}  // namespace geojepa
