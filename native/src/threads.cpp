// Limits the number of threads before any is started.
#include "threads.hpp"

#include <algorithm>
#include <string>
#include <thread>

#include "errors.hpp"

namespace geojepa {
namespace {

constexpr std::uint32_t max_threads = 256;

}  // namespace

std::uint32_t worker_threads(std::uint32_t requested) {
    if (requested > max_threads) {
        throw UsageError("more than " + std::to_string(max_threads) + " threads", {.options = {{"threads", "1"}}});
    }
    return requested > 0 ? requested : std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace geojepa
