// Parts rounded to the unit.
#include <doctest/doctest.h>

#include <vector>

#include "pieces.hpp"

using namespace geojepa;

TEST_CASE("a sliver that rounding turns over keeps the winding of its role") {
    const Grid grid{16};
    const TileIndex tile{32768, 32767};  // its south-west corner is at 0, 0
    TiledParts parts;
    // 0.2 units wide: on whole units its middle vertex lies on the other side.
    const Ring sliver{{0, 0}, {1000, 0.6}, {2000, 1.4}};
    REQUIRE(twice_area(sliver) > 0);
    parts.add_polygon(tile, {{sliver}});
    PieceBatch batch;
    (void)PieceBuilder{grid}.add(1, parts, batch);
    PieceView piece;
    piece.decode(batch.record(0));
    REQUIRE(piece.nodes.size() == 3);
    Ring rounded;
    for (const Position node : piece.nodes) {
        rounded.push_back({static_cast<double>(node.lon), static_cast<double>(node.lat)});
    }
    CHECK(twice_area(rounded) > 0);
}
