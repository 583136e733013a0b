// The shares and the memory per thread are measured; docs/adr/0010 describes them.
#include "clip/run_plan.hpp"

#include <algorithm>

#include "threads.hpp"

namespace geojepa {
namespace {

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20U;
constexpr std::uint64_t reserved = 32 * mebibyte;
constexpr std::uint64_t per_thread = 24 * mebibyte;
constexpr std::uint64_t per_decoder = 64 * mebibyte;
constexpr std::uint64_t per_assembler = 128 * mebibyte;
constexpr std::uint64_t per_batch = 40 * mebibyte;  // ten times the size of a batch of ways
constexpr std::uint64_t max_waiting = 16;

/// At most `limit` of the threads, but at least one.
std::uint32_t limited(std::uint32_t threads, std::uint64_t limit) {
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(limit, 1, threads));
}

}  // namespace

RunPlan::RunPlan(std::uint32_t requested_threads, std::uint64_t memory) {
    const std::uint64_t shared = memory > 2 * reserved ? memory - reserved : memory / 2;
    arrays = shared / 2;
    records = shared / 4;
    vocabulary = shared / 8;
    threads = limited(worker_threads(requested_threads), memory / per_thread);
    decoders = limited(threads, memory / per_decoder);
    const std::uint64_t waiting_bytes = shared / 16;
    batches = {
        .threads = threads,
        .tasks = threads + 2 + std::min(memory / per_batch, max_waiting),
        .waiting_bytes = waiting_bytes,
    };
    const std::uint32_t assemblers = limited(threads, memory / per_assembler);
    relations = {.threads = assemblers, .tasks = assemblers + std::size_t{2}, .waiting_bytes = waiting_bytes};
}

}  // namespace geojepa
