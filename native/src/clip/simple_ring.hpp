// Decides whether a ring is simple.
#pragma once

#include <span>

#include "clip/grid.hpp"

namespace geojepa {

/// Whether a ring neither touches nor crosses itself. Exact. The ring must not repeat its first point at the end, nor
/// any point directly after itself.
bool is_simple(std::span<const Position> ring);

}  // namespace geojepa
