// Visibility edges of small known scenes, and of random ones against a loop over all pairs and all segments.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <tuple>

#include "process/visibility.hpp"

using namespace geojepa;

namespace {

struct Scene {
    std::vector<LatticePoint> nodes;
    std::vector<std::uint32_t> part_begin{0};
    std::vector<std::uint8_t> is_ring;

    void add(const std::vector<LatticePoint>& part, bool ring) {
        nodes.insert(nodes.end(), part.begin(), part.end());
        part_begin.push_back(static_cast<std::uint32_t>(nodes.size()));
        is_ring.push_back(ring ? 1 : 0);
    }
    PieceParts parts() const { return {.nodes = nodes, .part_begin = part_begin, .part_is_ring = is_ring}; }
    std::uint32_t part_of(std::uint32_t node) const {
        std::uint32_t part = 0;
        while (part_begin[part + 1] <= node) {
            ++part;
        }
        return part;
    }
};

std::vector<VisibilityEdge> by_brute_force(const Scene& scene, std::uint32_t per_node) {
    const auto segments = segments_of(scene.parts());
    const auto count = static_cast<std::uint32_t>(scene.nodes.size());
    std::vector<VisibilityEdge> edges;
    for (std::uint32_t a = 0; a < count; ++a) {
        std::vector<std::pair<std::int64_t, std::uint32_t>> seen;
        for (std::uint32_t b = 0; b < count; ++b) {
            const LatticeSegment sight{scene.nodes[a], scene.nodes[b]};
            const bool free = scene.part_of(a) != scene.part_of(b) &&
                              std::all_of(segments.begin(), segments.end(), [&](const LatticeSegment& segment) {
                                  const Contact how = contact(sight, segment);
                                  return how == Contact::none || how == Contact::shared_end;
                              });
            if (free) {
                seen.emplace_back(squared_distance(sight.from, sight.to), b);
            }
        }
        std::sort(seen.begin(), seen.end());
        for (std::size_t at = 0; at < std::min<std::size_t>(seen.size(), per_node); ++at) {
            edges.push_back({std::min(a, seen[at].second), std::max(a, seen[at].second)});
        }
    }
    std::sort(edges.begin(), edges.end());
    edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
    return edges;
}

/// A wavy, star-shaped ring, which does not cross itself.
std::vector<LatticePoint> ring(std::mt19937& random, LatticePoint centre, double radius, int count) {
    std::uniform_real_distribution<double> share{0.5, 1.0};
    std::vector<LatticePoint> points;
    for (int at = 0; at < count; ++at) {
        const double angle = 2 * std::numbers::pi * at / count;
        const double r = radius * share(random);
        points.push_back({centre.x + static_cast<std::int32_t>(r * std::cos(angle)),
                          centre.y + static_cast<std::int32_t>(r * std::sin(angle))});
    }
    return points;
}

/// Random lines, rings and points. A small `extent` forces coincidences.
Scene random_scene(std::mt19937& random, std::int32_t extent, std::size_t most_nodes) {
    std::uniform_int_distribution<std::int32_t> coordinate{0, extent};
    std::uniform_int_distribution<int> kind{0, 3};
    std::uniform_int_distribution<std::size_t> length{2, 12};
    Scene scene;
    while (scene.nodes.size() + 13 < most_nodes) {
        std::vector<LatticePoint> part;
        switch (kind(random)) {
            case 0:
                scene.add({{coordinate(random), coordinate(random)}}, false);
                break;
            case 1:
                scene.add(ring(random, {coordinate(random), coordinate(random)}, extent / 6.0,
                               static_cast<int>(2 + length(random))),
                          true);
                break;
            default:
                for (std::size_t at = length(random); at > 0; --at) {
                    // Some vertices are shared with earlier parts, like those of the ways of a route.
                    const bool shared = !scene.nodes.empty() && kind(random) == 0;
                    part.push_back(shared ? scene.nodes[random() % scene.nodes.size()]
                                          : LatticePoint{coordinate(random), coordinate(random)});
                }
                scene.add(part, false);
        }
    }
    return scene;
}

}  // namespace

TEST_CASE("a hole is joined to its outer ring on all sides") {
    Scene scene;
    scene.add({{0, 0}, {100, 0}, {100, 100}, {0, 100}}, true);
    scene.add({{40, 40}, {40, 60}, {60, 60}, {60, 40}}, true);
    const std::vector<VisibilityEdge> expected{{0, 4}, {1, 7}, {2, 6}, {3, 5}};
    CHECK(visibility_edges(scene.parts(), 1) == expected);
}

TEST_CASE("a line hides two others from each other") {
    Scene scene;
    scene.add({{0, 0}, {100, 0}}, false);
    scene.add({{-50, 10}, {150, 10}}, false);
    scene.add({{0, 20}, {100, 20}}, false);
    const auto edges = visibility_edges(scene.parts(), 4);
    for (const VisibilityEdge& edge : edges) {
        CHECK_FALSE((edge[0] < 2 && edge[1] >= 4));
    }
    CHECK(edges.size() == 8);
}

TEST_CASE("an open line is not closed, so its opening does not block the view") {
    Scene open;
    open.add({{0, 0}, {0, 100}, {100, 100}, {100, 0}}, false);
    open.add({{50, 50}}, false);
    open.add({{50, -10}}, false);
    const VisibilityEdge through{4, 5};
    const auto has = [&](const std::vector<VisibilityEdge>& edges) {
        return std::find(edges.begin(), edges.end(), through) != edges.end();
    };
    CHECK(has(visibility_edges(open.parts(), 5)));
    open.is_ring[0] = 1;
    CHECK_FALSE(has(visibility_edges(open.parts(), 5)));
}

TEST_CASE("ways of a route that share a vertex are joined there") {
    Scene scene;
    scene.add({{0, 0}, {50, 0}}, false);
    scene.add({{50, 0}, {100, 30}}, false);
    const auto edges = visibility_edges(scene.parts(), 1);
    CHECK(edges.front() == VisibilityEdge{0, 3});
    CHECK(std::find(edges.begin(), edges.end(), VisibilityEdge{1, 2}) != edges.end());
}

TEST_CASE("a vertex on a line of sight blocks it") {
    Scene scene;
    scene.add({{0, 0}}, false);
    scene.add({{50, 0}, {50, 50}}, false);
    scene.add({{100, 0}}, false);
    const auto edges = visibility_edges(scene.parts(), 3);
    CHECK(std::find(edges.begin(), edges.end(), VisibilityEdge{0, 3}) == edges.end());
}

TEST_CASE("of equal distances the lower number wins") {
    Scene scene;
    scene.add({{0, 0}}, false);
    scene.add({{10, 0}}, false);
    scene.add({{0, 10}}, false);
    scene.add({{-10, 0}}, false);
    const std::vector<VisibilityEdge> expected{{0, 1}, {0, 2}, {0, 3}};
    CHECK(visibility_edges(scene.parts(), 1) == expected);
    CHECK(by_brute_force(scene, 1) == expected);
}

TEST_CASE("a piece with one part, or k = 0, has no edges") {
    Scene scene;
    scene.add({{0, 0}, {10, 0}, {10, 10}}, true);
    CHECK(visibility_edges(scene.parts(), 1).empty());
    scene.add({{20, 20}}, false);
    CHECK(visibility_edges(scene.parts(), 0).empty());
    CHECK(visibility_edges(scene.parts(), 1) == std::vector<VisibilityEdge>{{1, 3}, {2, 3}});
}

TEST_CASE("random scenes have the edges that a loop over all pairs finds") {
    std::mt19937 random{11};
    for (int round = 0; round < 150; ++round) {
        const std::int32_t extent = round % 3 == 0 ? 12 : (round % 3 == 1 ? 400 : 60000);
        const Scene scene = random_scene(random, extent, 20 + static_cast<std::size_t>(round) % 80);
        const std::uint32_t per_node = 1 + static_cast<std::uint32_t>(round) % 3;
        CHECK(visibility_edges(scene.parts(), per_node) == by_brute_force(scene, per_node));
    }
}

TEST_CASE("polygons with holes and bays have the edges that a loop over all pairs finds") {
    std::mt19937 random{12};
    for (int round = 0; round < 12; ++round) {
        Scene scene;
        scene.add(ring(random, {30000, 30000}, 28000, 150), true);
        for (int hole = 0; hole < 6; ++hole) {
            scene.add(ring(random, {24000 + 2500 * hole, 24000 + 2000 * (hole % 3)}, 900, 8 + 3 * hole), true);
        }
        CHECK(visibility_edges(scene.parts(), 1) == by_brute_force(scene, 1));
    }
}

TEST_CASE("scenes with three hundred vertices have the edges that a loop over all pairs finds") {
    std::mt19937 random{13};
    for (const std::int32_t extent : {60, 400, 8000, 60000}) {
        const Scene scene = random_scene(random, extent, 313);
        CHECK(scene.nodes.size() > 280);
        for (const std::uint32_t per_node : {1U, 3U}) {
            CHECK(visibility_edges(scene.parts(), per_node) == by_brute_force(scene, per_node));
        }
    }
}
