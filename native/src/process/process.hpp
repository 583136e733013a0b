// `geojepa-tiler process`: tiles in, model-ready columns out.
#pragma once

#include <cstdint>
#include <string>

namespace geojepa {

struct ProcessOptions {
    std::string input;
    std::string output;
    /// Tolerance of Douglas–Peucker, metres; 0 drops only vertices that repeat the one before.
    double simplify_m = 0.5;
    /// Visibility edges sought for each vertex of a piece of several parts.
    std::uint32_t visibility_k = 1;
    /// Shortest side of a box, metres.
    double min_side_m = 1.5;
    /// 0: one per processor. The output does not depend on it.
    std::uint32_t threads = 0;
};

/// Runs the stage and writes its summary to stdout. Returns the exit code; throws Error.
int run_process(const ProcessOptions& options);

}  // namespace geojepa
