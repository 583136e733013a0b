// Objects arrive in any order and are written in the order of the file.
#include "columns/object_table.hpp"

#include <algorithm>
#include <limits>

#include "clip/pieces.hpp"
#include "errors.hpp"

namespace geojepa {
namespace {

/// Roles get an eighth of the memory of the vocabulary, because few of them are distinct.
constexpr std::size_t roles_share = 8;
/// Marks a role that is used and has no row yet.
constexpr std::uint32_t rowless = std::numeric_limits<std::uint32_t>::max();

/// A string column: offsets, then the bytes.
class TextColumn {
public:
    explicit TextColumn(ArrayMemory& arrays) : offsets_(arrays), bytes_(arrays) { offsets_.push_back(0); }

    void add(std::string_view text) {
        bytes_.append({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
        offsets_.push_back(bytes_.size());
    }
    void write(ColumnWriter& writer, schema::Column<std::uint64_t> offsets, schema::Column<std::uint8_t> utf8) const {
        writer.write(offsets, offsets_.view());
        writer.write(utf8, bytes_.view());
    }

private:
    LongArray<std::uint64_t> offsets_;
    LongArray<std::uint8_t> bytes_;
};

}  // namespace

ObjectTable::ObjectTable(ArrayMemory& arrays, std::size_t vocabulary_bytes)
    : arrays_(&arrays),
      rows_(arrays),
      tags_(arrays),
      members_(arrays),
      vocabulary_(arrays.directory(), vocabulary_bytes - vocabulary_bytes / roles_share),
      roles_(arrays.directory(), vocabulary_bytes / roles_share),
      order_(arrays),
      row_of_(arrays) {}

std::uint32_t ObjectTable::add(const CutObject& object, const CutResult& result) {
    if (rows_.size() >= std::numeric_limits<std::uint32_t>::max()) {
        throw InputError("more than 4,294,967,294 objects", smaller_area);
    }
    const Row row{
        .key = object_key(object.type, object.id),
        .id = object.id,
        .first_tag = tags_.size(),
        .first_member = members_.size(),
        .tags = static_cast<std::uint32_t>(object.last_tag - object.first_tag),
        .members = static_cast<std::uint32_t>(object.last_member - object.first_member),
        .version = object.version,
        .absent_members = object.absent_members,
        .type = object.type,
        .kind = object.kind,
        .token = object.token,
    };
    for (std::size_t i = object.first_tag; i < object.last_tag; ++i) {
        tags_.push_back(vocabulary_.intern(result.tags[i]));
    }
    for (std::size_t i = object.first_member; i < object.last_member; ++i) {
        const Member& member = result.members[i];
        members_.push_back({
            .object_key = object_key(member.type, member.ref),
            .role = roles_.intern({.key = member.role, .value = {}}),
        });
    }
    rows_.push_back(row);
    return static_cast<std::uint32_t>(rows_.size() - 1);
}

void ObjectTable::finish() {
    const auto by_key = [](const auto& a, const auto& b) { return a.key < b.key; };
    if (std::is_sorted(rows_.begin(), rows_.end(), by_key)) {
        return;
    }
    std::uint32_t number = 0;
    for (const Row& row : rows_.view()) {
        order_.push_back({.key = row.key, .number = number++});
    }
    std::sort(order_.begin(), order_.end(), by_key);
    row_of_.resize(rows_.size());
    for (std::size_t i = 0; i < order_.size(); ++i) {
        row_of_[order_[i].number] = static_cast<std::uint32_t>(i);
    }
}

std::size_t ObjectTable::find(std::uint64_t key) const {
    const auto search = [key](const auto& sorted) {
        const auto* found = std::lower_bound(sorted.begin(), sorted.end(), key,
                                             [](const auto& a, std::uint64_t k) { return a.key < k; });
        const bool there = found != sorted.end() && found->key == key;
        return there ? static_cast<std::size_t>(found - sorted.begin()) : sorted.size();
    };
    return order_.empty() ? search(rows_) : search(order_);
}

ObjectTable::Counts ObjectTable::write(ColumnWriter& writer) {
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
    for (std::size_t i = 0; i < rows_.size(); ++i) {
        const Row& object = row(i);
        type.push(static_cast<std::uint8_t>(object.type));
        id.push(object.id);
        version.push(object.version);
        kind.push(static_cast<std::uint8_t>(object.kind));
        token.push(static_cast<std::uint8_t>(object.token));
        absent.push(object.absent_members);
    }
    type.flush();
    id.flush();
    version.flush();
    kind.flush();
    token.flush();
    absent.flush();
}

ObjectTable::Counts ObjectTable::write_tags(ColumnWriter& writer) {
    LongArray<std::uint32_t> vocab_row{*arrays_};
    vocab_row.resize(vocabulary_.numbers());
    TextColumn keys{*arrays_};
    TextColumn values{*arrays_};
    std::uint32_t pairs = 0;
    vocabulary_.for_each([&](Tag tag, std::span<const std::uint32_t> numbers) {
        for (const std::uint32_t number : numbers) {
            vocab_row[number] = pairs;
        }
        keys.add(tag.key);
        values.add(tag.value);
        ++pairs;
    });
    LongArray<std::uint32_t> counts{*arrays_};
    counts.resize(pairs);
    ColumnStream offsets{writer, schema::object_tags, rows_.size() + 1};
    ColumnStream tags{writer, schema::tag_vocab, tags_.size()};
    std::uint64_t written = 0;
    offsets.push(0);
    std::vector<std::uint32_t> of_object;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
        const Row& object = row(i);
        of_object.clear();
        for (const std::uint32_t number : tags_.view(object.first_tag, object.first_tag + object.tags)) {
            of_object.push_back(vocab_row[number]);
        }
        std::sort(of_object.begin(), of_object.end());
        for (const std::uint32_t tag : of_object) {
            ++counts[tag];
            tags.push(tag);
        }
        written += object.tags;
        offsets.push(written);
    }
    offsets.flush();
    tags.flush();
    keys.write(writer, schema::vocab_key, schema::vocab_key_utf8);
    values.write(writer, schema::vocab_value, schema::vocab_value_utf8);
    writer.write(schema::vocab_count, counts.view());
    return {.tags = written, .vocab = pairs};
}

std::uint64_t ObjectTable::write_members(ColumnWriter& writer) {
    LongArray<std::uint64_t> offsets{*arrays_};
    LongArray<std::uint32_t> objects{*arrays_};
    LongArray<std::uint32_t> roles{*arrays_};
    LongArray<std::uint32_t> role_row{*arrays_};
    offsets.push_back(0);
    role_row.resize(roles_.numbers());
    for (std::size_t i = 0; i < rows_.size(); ++i) {
        const Row& object = row(i);
        for (const MemberRow& member : members_.view(object.first_member, object.first_member + object.members)) {
            const std::size_t found = find(member.object_key);
            if (found < rows_.size()) {
                objects.push_back(static_cast<std::uint32_t>(found));
                roles.push_back(member.role);
                role_row[member.role] = rowless;  // replaced by its row below
            }
        }
        offsets.push_back(objects.size());
    }
    TextColumn texts{*arrays_};
    std::uint32_t rows = 0;
    roles_.for_each([&](Tag role, std::span<const std::uint32_t> numbers) {
        const bool used = std::any_of(numbers.begin(), numbers.end(),
                                      [&](std::uint32_t number) { return role_row[number] == rowless; });
        for (const std::uint32_t number : numbers) {
            role_row[number] = rows;
        }
        if (used) {
            texts.add(role.key);
            ++rows;
        }
    });
    for (std::uint32_t& role : roles) {
        role = role_row[role];
    }
    writer.write(schema::object_members, offsets.view());
    writer.write(schema::member_object, objects.view());
    writer.write(schema::member_role, roles.view());
    texts.write(writer, schema::role_text, schema::role_text_utf8);
    return objects.size();
}

}  // namespace geojepa
