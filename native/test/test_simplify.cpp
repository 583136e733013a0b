// Simplification, against the recursive Douglas–Peucker; within the tolerance, and without crossings of rings.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "process/simplify.hpp"

using namespace geojepa;

namespace {

constexpr double units_per_metre = 100;

void add_part(PieceShape& shape, schema::Role role, const std::vector<EastNorth>& points) {
    shape.roles.push_back(role);
    for (const EastNorth point : points) {
        shape.metres.push_back(point);
        shape.lattice.push_back({static_cast<std::int32_t>(std::lround(point.east_m * units_per_metre)),
                                 static_cast<std::int32_t>(std::lround(point.north_m * units_per_metre))});
        shape.fixed.push_back(0);
    }
    shape.part_begin.push_back(static_cast<std::uint32_t>(shape.metres.size()));
}

std::vector<std::uint8_t> kept_of(PieceShape shape, double tolerance_m, RingCounts* counts = nullptr) {
    Simplifier simplifier{tolerance_m};
    std::vector<std::uint8_t> keep;
    RingCounts ignored;
    simplifier.choose(shape, keep, counts != nullptr ? *counts : ignored);
    return keep;
}

std::vector<LatticeSegment> kept_segments(const PieceShape& shape, const std::vector<std::uint8_t>& keep) {
    std::vector<LatticeSegment> segments;
    for (std::size_t part = 0; part < shape.part_count(); ++part) {
        std::vector<LatticePoint> ring;
        for (std::size_t at = shape.part_begin[part]; at < shape.part_begin[part + 1]; ++at) {
            if (keep[at] != 0) {
                ring.push_back(shape.lattice[at]);
            }
        }
        CHECK(ring.size() >= 3);
        for (std::size_t at = 0; at < ring.size(); ++at) {
            segments.push_back({ring[at], ring[(at + 1) % ring.size()]});
        }
    }
    return segments;
}

bool any_crossing(const std::vector<LatticeSegment>& segments) {
    for (std::size_t a = 0; a < segments.size(); ++a) {
        for (std::size_t b = a + 1; b < segments.size(); ++b) {
            const Contact how = contact(segments[a], segments[b]);
            if (how != Contact::none && how != Contact::shared_end) {
                return true;
            }
        }
    }
    return false;
}

double distance(EastNorth p, EastNorth a, EastNorth b) {
    const double length2 = std::pow(b.east_m - a.east_m, 2) + std::pow(b.north_m - a.north_m, 2);
    double share = 0;
    if (length2 > 0) {
        share = ((p.east_m - a.east_m) * (b.east_m - a.east_m) + (p.north_m - a.north_m) * (b.north_m - a.north_m)) /
                length2;
        share = std::min(1.0, std::max(0.0, share));
    }
    return std::hypot(p.east_m - a.east_m - share * (b.east_m - a.east_m),
                      p.north_m - a.north_m - share * (b.north_m - a.north_m));
}

void recursive(const std::vector<EastNorth>& line, std::size_t from, std::size_t to, double tolerance,
               std::vector<std::uint8_t>& keep) {
    std::size_t split = from;
    double farthest = tolerance;
    for (std::size_t at = from + 1; at < to; ++at) {
        const double d = distance(line[at], line[from], line[to]);
        if (d > farthest) {
            farthest = d;
            split = at;
        }
    }
    if (split != from) {
        keep[split] = 1;
        recursive(line, from, split, tolerance, keep);
        recursive(line, split, to, tolerance, keep);
    }
}

std::vector<EastNorth> wavy_ring(std::mt19937& random, double radius, int count, double roughness, bool clockwise) {
    std::uniform_real_distribution<double> share{1.0 - roughness, 1.0};
    std::vector<EastNorth> ring;
    for (int at = 0; at < count; ++at) {
        const double angle = 2 * std::numbers::pi * (clockwise ? count - at : at) / count;
        const double r = radius * share(random);
        ring.push_back({100 + r * std::cos(angle), 100 + r * std::sin(angle)});
    }
    return ring;
}

}  // namespace

TEST_CASE("a line is simplified like by the recursive algorithm") {
    std::mt19937 random{1};
    std::normal_distribution<double> step{0, 1};
    for (int round = 0; round < 50; ++round) {
        std::vector<EastNorth> line{{0, 0}};
        for (int at = 0; at < 200; ++at) {
            line.push_back({line.back().east_m + 2 + step(random), line.back().north_m + step(random)});
        }
        std::vector<std::uint8_t> expected(line.size(), 0);
        expected.front() = expected.back() = 1;
        recursive(line, 0, line.size() - 1, 1.0, expected);
        PieceShape shape;
        add_part(shape, schema::Role::line, line);
        CHECK(kept_of(shape, 1.0) == expected);
    }
}

TEST_CASE("the ends of a line are kept, also of a closed one") {
    PieceShape shape;
    add_part(shape, schema::Role::line, {{0, 0}, {5, 0.1}, {10, 0}});
    add_part(shape, schema::Role::line, {{0, 0}, {10, 0}, {10, 10}, {5, 10.1}, {0, 10}, {0, 0}});
    add_part(shape, schema::Role::point, {{3, 3}});
    CHECK(kept_of(shape, 0.5) == std::vector<std::uint8_t>{1, 0, 1, 1, 1, 1, 0, 1, 1, 1});
}

TEST_CASE("consecutive vertices on one lattice point are stored once") {
    PieceShape shape;
    add_part(shape, schema::Role::line, {{0, 0}, {0.001, 0}, {10, 0}, {10, 0.002}, {10.001, 0}});
    CHECK(kept_of(shape, 0.0) == std::vector<std::uint8_t>{1, 0, 0, 0, 1});
    PieceShape tiny;
    add_part(tiny, schema::Role::line, {{0, 0}, {0.001, 0}});
    CHECK(kept_of(tiny, 0.0) == std::vector<std::uint8_t>{1, 1});
}

TEST_CASE("a ring keeps three vertices however large the tolerance") {
    PieceShape shape;
    add_part(shape, schema::Role::outer, {{0, 0}, {10, 0}, {10, 3}, {5, 4}, {0, 3}});
    const auto keep = kept_of(shape, 1000);
    CHECK(std::count(keep.begin(), keep.end(), 1) == 3);
    PieceShape square;
    add_part(square, schema::Role::outer, {{0, 0}, {0.3, 0}, {0.3, 0.3}, {0, 0.3}});
    CHECK(std::ranges::count(kept_of(square, 0.5), 1) == 3);
}

TEST_CASE("fixed vertices of a ring are kept") {
    PieceShape shape;
    add_part(shape, schema::Role::outer, {{0, 0}, {5, 0}, {10, 0}, {10, 10}, {0, 10}});
    shape.fixed[1] = 1;
    CHECK(kept_of(shape, 0.5) == std::vector<std::uint8_t>{1, 1, 1, 1, 1});
    shape.fixed[1] = 0;
    CHECK(kept_of(shape, 0.5) == std::vector<std::uint8_t>{1, 0, 1, 1, 1});
}

TEST_CASE("a hole in a flat bulge stays inside its ring") {
    // The bulge is flatter than the tolerance, and contains the hole.
    PieceShape shape;
    add_part(shape, schema::Role::outer,
             {{0, 0}, {100, 0}, {100, 50}, {60, 50}, {58, 50.45}, {42, 50.45}, {40, 50}, {0, 50}});
    add_part(shape, schema::Role::inner, {{45, 50.1}, {45, 50.3}, {55, 50.3}, {55, 50.1}});
    RingCounts counts;
    const auto keep = kept_of(shape, 0.5, &counts);
    CHECK(counts.refined > 0);
    CHECK(counts.crossing == 0);
    CHECK_FALSE(any_crossing(kept_segments(shape, keep)));
    CHECK(keep[4] + keep[5] >= 1);
}

TEST_CASE("a narrow neck is not pinched off") {
    PieceShape shape;
    add_part(shape, schema::Role::outer,
             {{0, 0}, {20, 0}, {20, 10}, {10.4, 10}, {10, 0.4}, {9.6, 10}, {0, 10}, {0, 5}});
    shape.metres[1] = {20, 0};
    PieceShape dented = shape;
    const auto keep = kept_of(dented, 2.0);
    CHECK_FALSE(any_crossing(kept_segments(dented, keep)));
}

TEST_CASE("random rings stay simple, disjoint and within the tolerance") {
    std::mt19937 random{2};
    for (int round = 0; round < 60; ++round) {
        PieceShape shape;
        shape.one_area = true;
        // The hole follows its outer ring closely. Simplified separately, the two would cross.
        const auto outer = wavy_ring(random, 60, 160, 0.15, false);
        std::vector<EastNorth> inner{outer.rbegin(), outer.rend()};
        for (EastNorth& point : inner) {
            point = {100 + (point.east_m - 100) * 0.97, 100 + (point.north_m - 100) * 0.97};
        }
        add_part(shape, schema::Role::outer, outer);
        add_part(shape, schema::Role::inner, inner);
        RingCounts counts;
        const double tolerance = 1.0 + round % 5;
        const auto keep = kept_of(shape, tolerance, &counts);
        CHECK(counts.crossing == 0);
        const auto segments = kept_segments(shape, keep);
        CHECK_FALSE(any_crossing(segments));
        for (std::size_t part = 0; part < 2; ++part) {
            const std::size_t begin = shape.part_begin[part];
            const std::size_t size = shape.part_begin[part + 1] - begin;
            std::size_t start = begin;
            while (keep[start] == 0) {
                ++start;
            }
            std::size_t previous = start;
            std::vector<std::size_t> dropped;
            for (std::size_t step = 1; step <= size; ++step) {
                const std::size_t at = begin + (start - begin + step) % size;
                if (keep[at] == 0) {
                    dropped.push_back(at);
                    continue;
                }
                for (const std::size_t vertex : dropped) {
                    CHECK(distance(shape.metres[vertex], shape.metres[previous], shape.metres[at]) <= tolerance);
                }
                dropped.clear();
                previous = at;
            }
        }
    }
}

TEST_CASE("a ring that rounding made to touch itself has a vertex moved by one step") {
    // In metres, the fourth vertex lies 4 mm to the left of the edge from the first to the second one.
    PieceShape shape;
    add_part(shape, schema::Role::outer, {{0, 0}, {10, 0}, {10, 10}, {5, 0.004}, {0, 10}});
    REQUIRE(shape.lattice[3] == LatticePoint{500, 0});
    const PieceShape before = shape;
    Simplifier simplifier{0.0};
    std::vector<std::uint8_t> keep;
    RingCounts counts;
    simplifier.choose(shape, keep, counts);
    CHECK(counts.nudged == 1);
    CHECK(counts.crossing == 0);
    CHECK(std::ranges::count(keep, 1) == 5);
    CHECK_FALSE(any_crossing(kept_segments(shape, keep)));
    int moved = 0;
    for (std::size_t at = 0; at < shape.node_count(); ++at) {
        const auto d = squared_distance(shape.lattice[at], before.lattice[at]);
        CHECK(d <= 2);
        moved += d > 0 ? 1 : 0;
    }
    CHECK(moved == 1);
}

TEST_CASE("a needle along an edge moves by two steps where one is not enough") {
    PieceShape shape;
    add_part(shape, schema::Role::outer, {{0, 0.01}, {0, -5.24}, {9.84, -5.24}, {9.84, 0.02}, {11.99, 0.01}});
    REQUIRE(any_crossing(kept_segments(shape, std::vector<std::uint8_t>(5, 1))));
    Simplifier simplifier{0.0};
    std::vector<std::uint8_t> keep;
    RingCounts counts;
    simplifier.choose(shape, keep, counts);
    CHECK(counts.crossing == 0);
    CHECK(counts.nudged == 1);
    CHECK_FALSE(any_crossing(kept_segments(shape, keep)));
}

TEST_CASE("a ring that crosses itself in the input is kept and counted") {
    PieceShape shape;
    add_part(shape, schema::Role::outer, {{0, 0}, {10, 10}, {10, 0}, {0, 10}});
    RingCounts counts;
    CHECK(std::ranges::count(kept_of(shape, 0.5, &counts), 1) == 4);
    CHECK(counts.crossing == 1);
}

TEST_CASE("a ring narrower than a lattice step becomes one step wide") {
    const std::vector<std::vector<EastNorth>> rings{
        {{1, 1}, {1.003, 1}, {1.003, 1.003}, {1, 1.003}},      // all on one lattice point
        {{1, 1}, {9, 3}, {9.001, 3.002}, {5, 2.002}},          // along a line
        {{1, 1}, {1, 9}, {1, 9.001}, {1, 4}, {1.0005, 1.02}},  // along a meridian
    };
    for (const auto& points : rings) {
        for (const auto role : {schema::Role::outer, schema::Role::inner}) {
            PieceShape shape;
            add_part(shape, role, points);
            const PieceShape before = shape;
            Simplifier simplifier{0.0};
            std::vector<std::uint8_t> keep;
            RingCounts counts;
            simplifier.choose(shape, keep, counts);
            CHECK(std::ranges::count(keep, 1) >= 3);
            CHECK(counts.crossing == 0);
            CHECK_FALSE(any_crossing(kept_segments(shape, keep)));
            std::vector<LatticePoint> ring;
            for (std::size_t at = 0; at < keep.size(); ++at) {
                if (keep[at] != 0) {
                    ring.push_back(shape.lattice[at]);
                    CHECK(std::ranges::any_of(
                        before.lattice, [&](LatticePoint point) { return squared_distance(point, ring.back()) <= 2; }));
                }
            }
            std::int64_t twice_area = 0;
            for (std::size_t at = 0; at < ring.size(); ++at) {
                twice_area += cross(ring[0], ring[at], ring[(at + 1) % ring.size()]);
            }
            CHECK((twice_area > 0) == (role == schema::Role::outer));
        }
    }
}

TEST_CASE("buildings of a relation may overlap, rings of a multipolygon may not") {
    PieceShape shape;
    add_part(shape, schema::Role::outer, {{0, 0}, {10, 0}, {10, 5}, {10, 10}, {0, 10}});
    add_part(shape, schema::Role::outer, {{5, 5}, {15, 5}, {15, 10}, {15, 15}, {5, 15}});
    RingCounts counts;
    const auto keep = kept_of(shape, 0.5, &counts);
    CHECK(counts.crossing == 0);
    CHECK(keep[2] == 0);
    shape.one_area = true;
    kept_of(shape, 0.5, &counts);
    CHECK(counts.crossing == 2);
}
