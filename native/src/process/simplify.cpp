// Lines are simplified one by one, the rings of an area together.
#include "process/simplify.hpp"

#include <span>

namespace geojepa {

void Simplifier::choose(PieceShape& shape, std::vector<std::uint8_t>& keep, RingCounts& counts) {
    keep.assign(shape.node_count(), 1);
    std::size_t part = 0;
    while (part < shape.part_count()) {
        if (!shape.is_ring(part)) {
            choose_line(shape, part, keep);
            ++part;
            continue;
        }
        std::size_t end = part + 1;
        while (end < shape.part_count() && shape.is_ring(end) &&
               (shape.one_area || shape.roles[end] == schema::Role::inner)) {
            ++end;
        }
        choose_rings(shape, part, end, keep, counts);
        part = end;
    }
}

void Simplifier::choose_line(const PieceShape& shape, std::size_t part, std::vector<std::uint8_t>& keep) {
    const std::size_t first = shape.part_begin[part];
    const std::size_t count = shape.part_begin[part + 1] - first;
    if (count <= 2) {
        return;
    }
    const auto marks = std::span{keep}.subspan(first, count);
    for (std::size_t at = 0; at < count; ++at) {
        marks[at] = shape.fixed[first + at];
    }
    marks.front() = marks.back() = 1;
    simplifier_.keep_between_anchors(std::span{shape.metres}.subspan(first, count), marks);
    drop_repeats(std::span{shape.lattice}.subspan(first, count), 2, marks);
}

/// Chooses the vertices of the rings in parts [first, last), none of which may cross another.
void Simplifier::choose_rings(PieceShape& shape, std::size_t first, std::size_t last, std::vector<std::uint8_t>& keep,
                              RingCounts& counts) {
    if (rings_.size() < last - first) {
        rings_.resize(last - first);
    }
    const auto rings = std::span{rings_}.first(last - first);
    for (std::size_t part = first; part < last; ++part) {
        rings[part - first].load(shape, part, simplifier_);
    }
    const std::vector<std::uint8_t> crossing = resolver_.resolve(rings, simplifier_);
    for (std::size_t row = 0; row < rings.size(); ++row) {
        const SimplifiedRing& ring = rings[row];
        counts.refined += ring.refined ? 1 : 0;
        counts.nudged += ring.nudged ? 1 : 0;
        counts.crossing += crossing[row];
        for (std::size_t at = 0; at + 1 < ring.vertices.size(); ++at) {
            keep[ring.vertices[at]] = ring.keep[at];
            shape.lattice[ring.vertices[at]] = ring.lattice[at];
        }
    }
}

}  // namespace geojepa
