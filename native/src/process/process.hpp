// `geojepa-tiler process`: converts tiles into model-ready columns.
#pragma once

#include <cstdint>
#include <string>

namespace geojepa {

struct ProcessOptions {
    std::string input;
    std::string output;
    /// Tolerance of the Douglas–Peucker simplification in metres; 0 drops only vertices that repeat the previous one.
    double simplify_m = 0.5;
    /// Visibility edges searched for each vertex of a piece with several parts.
    std::uint32_t visibility_k = 1;
    /// Minimum side of a box in metres.
    double min_side_m = 1.5;
    /// 0: one thread per processor. The output does not depend on it.
    std::uint32_t threads = 0;
};

/// Runs the stage and writes its summary to stdout. Returns the exit code; throws Error.
int run_process(const ProcessOptions& options);

}  // namespace geojepa
