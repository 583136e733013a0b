// Adds up what the workers report.
#include "clip/tile_counts.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

namespace geojepa {
namespace {

JsonObject json_of(const Reasons& reasons) {
    JsonObject json;
    for (const auto& [reason, count] : reasons) {
        if (count > 0) {
            json.add(reason, count);
        }
    }
    return json;
}

}  // namespace

void TileCounts::add_located(Position position) {
    lowest = {std::min(lowest.lon, position.lon), std::min(lowest.lat, position.lat)};
    highest = {std::max(highest.lon, position.lon), std::max(highest.lat, position.lat)};
}

void TileCounts::add_object(const CutObject& object) {
    ++kinds[static_cast<std::size_t>(object.kind)];
    ++tokens[static_cast<std::size_t>(object.token)];
    incomplete += object.absent_members > 0 ? 1 : 0;
}

void TileCounts::add_reasons(const CutResult& result) {
    for (const auto& [reason, count] : result.dropped) {
        dropped[reason] += count;
    }
    for (const auto& [reason, count] : result.repaired) {
        repaired[reason] += count;
    }
    dropped_tags += result.dropped_tags;
    centre_only += result.centre_only;
}

std::string TileCounts::extent() const {
    constexpr double steps_per_degree = 1e4;
    const auto down = [](std::int32_t units) {
        return std::floor(units / units_per_degree * steps_per_degree) / steps_per_degree;
    };
    const auto up = [](std::int32_t units) {
        return std::floor(units / units_per_degree * steps_per_degree + 1) / steps_per_degree;
    };
    std::ostringstream text;
    text << std::fixed << std::setprecision(4) << down(lowest.lon) << ',' << down(lowest.lat) << ','
         << std::min(up(highest.lon), 180.0) << ',' << std::min(up(highest.lat), 90.0);
    return text.str();
}

std::string TileCounts::reason_for_nothing(const std::string& area) const {
    if (nodes + ways + relations == 0) {
        return changesets > 0 ? "the input holds changesets and no map data" : "the input holds no data";
    }
    if (nodes == 0) {
        return "the input holds no nodes, so its ways have no position";
    }
    if (unlocated_nodes == nodes) {
        return "no node of the input has a position on the globe";
    }
    return area.empty() ? "no object with tags that lies in a tile" : "no object with tags in the " + area;
}

JsonObject TileCounts::to_json(std::uint64_t objects, const FileCounts& file) const {
    JsonObject counts;
    counts.add("nodes", nodes)
        .add("ways", ways)
        .add("relations", relations)
        .add("objects", objects)
        .add("points", kinds[0])
        .add("lines", kinds[1])
        .add("areas", kinds[2])
        .add("relation_objects", kinds[3])
        .add("boundaries", tokens[1])
        .add("restrictions", tokens[2])
        .add("objects_with_absent_members", incomplete)
        .add("pieces", file.pieces)
        .add("covering_pieces", file.covering_pieces)
        .add("parts", file.parts)
        .add("vertices", file.nodes)
        .add("tiles", file.tiles)
        .add("tags", file.objects.tags)
        .add("vocabulary", file.objects.vocab)
        .add("members", file.objects.members)
        .add("nodes_without_position", unlocated_nodes)
        .add("tags_dropped", dropped_tags)
        .add("dropped", json_of(dropped))
        .add("repaired", json_of(repaired));
    return counts;
}

}  // namespace geojepa
