// The counts of a `tile` run, for its summary and its error messages.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>

#include "clip/cut.hpp"
#include "columns/tiles_file.hpp"
#include "events.hpp"

namespace geojepa {

struct TileCounts {
    std::uint64_t nodes = 0;
    std::uint64_t ways = 0;
    std::uint64_t relations = 0;
    std::uint64_t unlocated_nodes = 0;
    std::uint64_t dropped_tags = 0;
    std::array<std::uint64_t, 4> kinds{};   ///< objects by schema::Kind
    std::array<std::uint64_t, 3> tokens{};  ///< objects by schema::Token
    std::uint64_t incomplete = 0;           ///< ways and relations whose nodes or members the input lacks
    std::uint64_t centre_only = 0;          ///< ways and relations for which the input gives only the centre
    std::uint64_t changesets = 0;
    Reasons dropped;
    Reasons repaired;
    /// Bounds of all located nodes.
    Position lowest{std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::max()};
    Position highest{std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::min()};

    void add_located(Position position);
    void add_object(const CutObject& object);
    /// Adds the dropped tags and the reasons of a worker's result.
    void add_reasons(const CutResult& result);

    /// The bounds of all located nodes as `--bbox` takes them.
    std::string extent() const;
    /// The reason why the input has no object to write. `area`: the option that limits the area, or empty.
    std::string reason_for_nothing(const std::string& area) const;
    /// The `counts` of the summary.
    JsonObject to_json(std::uint64_t objects, const FileCounts& file) const;
};

}  // namespace geojepa
