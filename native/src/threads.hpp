// The number of worker threads that a command runs with.
#pragma once

#include <cstdint>

namespace geojepa {

/// Returns `requested`, or one thread for each processor where `requested` is 0. Throws UsageError above 256.
std::uint32_t worker_threads(std::uint32_t requested);

}  // namespace geojepa
