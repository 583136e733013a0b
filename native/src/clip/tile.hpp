// `geojepa-tiler tile`: OSM extracts in, objects clipped to tiles out.
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
    /// 0: one per processor.
    std::uint32_t threads = 0;
    /// Bytes of private memory to stay under.
    std::uint64_t memory = std::uint64_t{512} << 20U;
    /// West, south, east, north in degrees; only tiles that meet it are written.
    std::optional<std::array<double, 4>> bbox;
    /// GeoJSON or .poly file; only tiles that share some area with it are written. Not together with `bbox`.
    std::string polygon;
    /// Keys (`*` first or last matches any rest) that are kept though they are dropped by default.
    std::vector<std::string> keep_tags;
    /// Keys that are dropped as well.
    std::vector<std::string> drop_tags;
};

/// Runs the stage and writes its summary to stdout. Returns the exit code; throws Error.
int run_tile(const TileOptions& options);

/// Versions of the libraries the tiler reads and clips with.
std::string libosmium_version();
std::string geos_version();

}  // namespace geojepa
