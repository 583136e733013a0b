// Two tables: positions by node id, and shapes by way id.
#include "read/inline_positions.hpp"

#include <algorithm>
#include <vector>

namespace geojepa {

void InlinePositions::add_members(const Elements& relations) {
    for (const MemberShape& shape : relations.member_shapes) {
        const std::span<const Position> positions = relations.positions_of(shape);
        if (shape.type == schema::OsmType::way) {
            add_shape(shape.ref, positions);
        } else if (shape.type == schema::OsmType::node && !positions.empty() && positions.front() != nowhere) {
            nodes_.add(shape.ref, positions.front());
        }
    }
}

void InlinePositions::add_way(std::int64_t id, std::span<const std::int64_t> refs,
                              std::span<const Position> positions) {
    if (std::all_of(refs.begin(), refs.end(), [](std::int64_t ref) { return ref == 0; })) {
        add_shape(id, positions);
        return;
    }
    for (std::size_t i = 0; i < positions.size(); ++i) {
        if (positions[i] != nowhere) {
            nodes_.add(refs[i], positions[i]);
        }
    }
}

void InlinePositions::add_shape(std::int64_t id, std::span<const Position> positions) {
    std::vector<Position> there{positions.begin(), positions.end()};
    std::erase(there, nowhere);
    if (!there.empty()) {
        batch_.ways.clear();
        batch_.positions.clear();
        batch_.add(id, false, there.size() == positions.size(), there);
        ways_.append(batch_);
    }
}

void InlinePositions::finish() {
    nodes_.finish();
    ways_.finish();
}

}  // namespace geojepa
