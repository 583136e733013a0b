// The first pass collects ids, which is enough for most files. The second compares the copies of repeated ids.
#include "read/duplicates.hpp"

#include <algorithm>
#include <compare>

#include "events.hpp"

namespace geojepa {
namespace {

/// Sorts ids and keeps those that occur more than once.
void keep_repeated(LongArray<std::int64_t>& ids) {
    std::sort(ids.begin(), ids.end());
    std::size_t kept = 0;
    for (std::size_t i = 1; i < ids.size(); ++i) {
        // Kept ids lie before `i`, so they overwrite nothing that is still to be compared.
        if (ids[i] == ids[i - 1] && (kept == 0 || ids[kept - 1] != ids[i])) {
            ids[kept++] = ids[i];
        }
    }
    ids.resize(kept);
}

CopyRank rank_of(const Copy& copy) {
    return {copy.version, copy.deleted, copy.tagged, copy.placed, copy.sequence};
}

/// Calls `visit` with the copies of each id, the kept one last.
template <typename Visit>
void for_each_id(LongArray<Copy>& copies, const Visit& visit) {
    std::sort(copies.begin(), copies.end(),
              [](const Copy& a, const Copy& b) { return a.id != b.id ? a.id < b.id : rank_of(a) < rank_of(b); });
    for (std::size_t first = 0, last = 0; first < copies.size(); first = last) {
        while (last < copies.size() && copies[last].id == copies[first].id) {
            ++last;
        }
        visit(copies.view(first, last));
    }
}

/// The best copy that has what the kept one lacks: a position, or references. Null where none has, or none is needed.
const Copy* placed_copy(std::span<const Copy> copies) {
    const Copy& kept = copies.back();
    if (kept.placed || kept.deleted) {
        return nullptr;
    }
    const Copy* found = nullptr;
    for (const Copy& copy : copies) {
        if (copy.placed && !copy.deleted && copy.version == kept.version) {
            found = &copy;
        }
    }
    return found;
}

void add_superseded(std::span<const Copy> copies, LongArray<std::uint64_t>& superseded) {
    for (const Copy& copy : copies.first(copies.size() - 1)) {
        superseded.push_back(copy.sequence);
    }
}

template <typename Visit>
void for_each_copy(const std::vector<std::string>& inputs, const char* stage, const Visit& visit) {
    Reader reader{inputs, {true, true, false}};
    Progress progress{stage, reader.size()};
    Batch batch{nullptr};
    std::vector<Copy> copies;
    while (reader.next(batch)) {
        for (const schema::OsmType type : {schema::OsmType::node, schema::OsmType::way}) {
            batch.copies(type, copies);
            for (const Copy& copy : copies) {
                visit(type, copy);
            }
        }
        progress.at(reader.offset());
    }
    progress.finish();
}

void collect(const LongArray<std::int64_t>& repeated, const Copy& copy, LongArray<Copy>& copies) {
    if (std::binary_search(repeated.begin(), repeated.end(), copy.id)) {
        copies.push_back(copy);
    }
}

}  // namespace

void find_superseded(const std::vector<std::string>& inputs, ArrayMemory& arrays, Superseded& found) {
    LongArray<std::int64_t> nodes{arrays};
    LongArray<std::int64_t> ways{arrays};
    for_each_copy(inputs, "look for repeated ids", [&](schema::OsmType type, const Copy& copy) {
        (type == schema::OsmType::node ? nodes : ways).push_back(copy.id);
    });
    keep_repeated(nodes);
    keep_repeated(ways);
    if (!nodes.empty() || !ways.empty()) {
        LongArray<Copy> node_copies{arrays};
        LongArray<Copy> way_copies{arrays};
        for_each_copy(inputs, "compare versions", [&](schema::OsmType type, const Copy& copy) {
            if (type == schema::OsmType::node) {
                collect(nodes, copy, node_copies);
            } else {
                collect(ways, copy, way_copies);
            }
        });
        for_each_id(node_copies, [&](std::span<const Copy> copies) {
            add_superseded(copies, found.nodes);
            if (const Copy* placed = placed_copy(copies)) {
                found.positions.add(placed->id, placed->position);
            }
        });
        for_each_id(way_copies, [&](std::span<const Copy> copies) {
            add_superseded(copies, found.ways);
            if (placed_copy(copies) != nullptr) {
                found.bare_ways.push_back(copies.back().id);
            }
        });
        std::sort(found.nodes.begin(), found.nodes.end());
        std::sort(found.ways.begin(), found.ways.end());
    }
    found.positions.finish();
}

}  // namespace geojepa
