// Divides the memory and the threads of a `tile` run.
#pragma once

#include <cstdint>

#include "clip/cut.hpp"
#include "worker_pool.hpp"

namespace geojepa {

using CutterPool = WorkerPool<Cutter, CutResult>;

/// Sums to less than `--memory`: the rest is for the program, the reader's queues and the batches in progress. Where
/// memory is short, these are kept few, and so are the threads that hold them.
struct RunPlan {
    /// `threads` may be 0: one per processor. `memory` is in bytes. Throws UsageError for too many threads.
    RunPlan(std::uint32_t requested_threads, std::uint64_t memory);

    std::uint64_t arrays;            ///< bytes for arrays before they move to files
    std::uint64_t records;           ///< bytes for pieces before they are spilled
    std::uint64_t vocabulary;        ///< bytes for the vocabulary before it is spilled
    std::uint32_t threads;           ///< threads that cut
    std::uint32_t decoders;          ///< threads that decode the input
    CutterPool::Capacity batches;    ///< for batches of nodes or ways
    CutterPool::Capacity relations;  ///< for relations, one of which may take far more memory
};

}  // namespace geojepa
