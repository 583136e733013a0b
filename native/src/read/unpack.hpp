// libosmium's objects as plain records.
#pragma once

#include <cstdint>
#include <memory>
#include <osmium/memory/buffer.hpp>

#include "read/reader.hpp"

namespace geojepa {

struct TypeCounts {
    std::uint64_t nodes = 0;
    std::uint64_t ways = 0;
    std::uint64_t relations = 0;
};

/// A batch of `buffer`, whose elements continue the count of `seen`, and adds them to it.
Batch make_batch(osmium::memory::Buffer buffer, CentredIds centred, TypeCounts& seen);

}  // namespace geojepa
