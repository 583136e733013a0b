// First the ids alone, which is all there is to do for most files; then the versions of those that occur twice.
#include "read/duplicates.hpp"

#include <algorithm>
#include <tuple>

#include "events.hpp"
#include "read/reader.hpp"

namespace geojepa {
namespace {

struct Version {
    std::int64_t id;
    std::uint32_t version;
    std::uint64_t sequence;
};

/// Sorts ids and leaves those that occur more than once.
void keep_repeated(LongArray<std::int64_t>& ids) {
    std::sort(ids.begin(), ids.end());
    std::size_t kept = 0;
    for (std::size_t i = 1; i < ids.size(); ++i) {
        // What was kept lies before `i`, so it overwrites nothing that is still to be compared.
        if (ids[i] == ids[i - 1] && (kept == 0 || ids[kept - 1] != ids[i])) {
            ids[kept++] = ids[i];
        }
    }
    ids.resize(kept);
}

void keep_all_but_newest(LongArray<Version>& versions, LongArray<std::uint64_t>& superseded) {
    std::sort(versions.begin(), versions.end(), [](const Version& a, const Version& b) {
        return std::tie(a.id, a.version, a.sequence) < std::tie(b.id, b.version, b.sequence);
    });
    for (std::size_t i = 0; i + 1 < versions.size(); ++i) {
        if (versions[i].id == versions[i + 1].id) {
            superseded.push_back(versions[i].sequence);
        }
    }
    std::sort(superseded.begin(), superseded.end());
}

template <typename Visit>
void for_each_element(const std::vector<std::string>& inputs, const char* stage, const Visit& visit) {
    Reader reader{inputs, {true, true, false}};
    Progress progress{stage, reader.size()};
    Batch batch{nullptr};
    std::vector<Outline> outlines;
    while (reader.next(batch)) {
        for (const schema::OsmType type : {schema::OsmType::node, schema::OsmType::way}) {
            batch.outline(type, outlines);
            for (const Outline& outline : outlines) {
                visit(type, outline);
            }
        }
        progress.at(reader.offset());
    }
    progress.finish();
}

void collect(const LongArray<std::int64_t>& repeated, const Outline& element, LongArray<Version>& versions) {
    if (std::binary_search(repeated.begin(), repeated.end(), element.id)) {
        versions.push_back({element.id, element.version, element.sequence});
    }
}

}  // namespace

void find_superseded(const std::vector<std::string>& inputs, ArrayMemory& arrays, Superseded& found) {
    LongArray<std::int64_t> nodes{arrays};
    LongArray<std::int64_t> ways{arrays};
    for_each_element(inputs, "look for repeated ids", [&](schema::OsmType type, const Outline& element) {
        (type == schema::OsmType::node ? nodes : ways).push_back(element.id);
    });
    keep_repeated(nodes);
    keep_repeated(ways);
    if (nodes.empty() && ways.empty()) {
        return;
    }
    LongArray<Version> node_versions{arrays};
    LongArray<Version> way_versions{arrays};
    for_each_element(inputs, "compare versions", [&](schema::OsmType type, const Outline& element) {
        if (type == schema::OsmType::node) {
            collect(nodes, element, node_versions);
        } else {
            collect(ways, element, way_versions);
        }
    });
    keep_all_but_newest(node_versions, found.nodes);
    keep_all_but_newest(way_versions, found.ways);
}

}  // namespace geojepa
