// Douglas–Peucker simplification of one chain of vertices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "clip/enu.hpp"

namespace geojepa {

/// Squared distance from `point` to the segment `from`–`to`, in square metres.
double squared_distance_to_segment(EastNorth point, EastNorth from, EastNorth to);

/// Iterative Douglas–Peucker. Holds a buffer: one per thread.
class DouglasPeucker {
public:
    explicit DouglasPeucker(double tolerance_m) : tolerance_m_{tolerance_m} {}

    void set_tolerance(double tolerance_m) { tolerance_m_ = tolerance_m; }

    /// Marks the vertices to keep strictly between the kept vertices `from` and `to`.
    void keep_between(std::span<const EastNorth> chain, std::size_t from, std::size_t to, std::span<std::uint8_t> keep);

    /// Simplifies between all vertices that `keep` already marks. The first and the last must be marked.
    void keep_between_anchors(std::span<const EastNorth> chain, std::span<std::uint8_t> keep);

private:
    double tolerance_m_;
    std::vector<std::pair<std::size_t, std::size_t>> stretches_;
};

}  // namespace geojepa
