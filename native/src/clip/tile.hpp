// `geojepa-tiler tile`: clips the objects of OSM extracts to tiles.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace geojepa {

struct TileOptions {
    std::vector<std::string> inputs;
    std::string output;
    std::uint32_t zoom = 16;
    /// 0: one thread per processor.
    std::uint32_t threads = 0;
    /// Limit of the private memory in bytes.
    std::uint64_t memory = std::uint64_t{512} << 20U;
    /// West, south, east, north in degrees. Only tiles that meet the box are written.
    std::optional<std::array<double, 4>> bbox;
    /// GeoJSON or `.poly` file. Only tiles that share some area with its polygons are written. Excludes `bbox`.
    std::string polygon;
    /// Keys to keep that the default filter drops. A leading or trailing `*` matches any text.
    std::vector<std::string> keep_tags;
    /// Keys to drop in addition.
    std::vector<std::string> drop_tags;
};

/// Runs the stage and writes its summary to stdout. Returns the exit code; throws Error.
int run_tile(const TileOptions& options);

}  // namespace geojepa
