// Exact predicates, and the segment index against a loop over all pairs.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "process/lattice.hpp"
#include "process/segment_index.hpp"

using namespace geojepa;

TEST_CASE("the contact of two segments is classified") {
    const LatticeSegment s{{0, 0}, {10, 0}};
    CHECK(contact(s, {{0, 1}, {10, 1}}) == Contact::none);
    CHECK(contact(s, {{5, -5}, {5, 5}}) == Contact::cross);
    CHECK(contact(s, {{5, 0}, {5, 5}}) == Contact::touch);
    CHECK(contact(s, {{10, 0}, {15, 5}}) == Contact::shared_end);
    CHECK(contact(s, {{10, 0}, {20, 0}}) == Contact::shared_end);
    CHECK(contact(s, {{5, 0}, {20, 0}}) == Contact::overlap);
    CHECK(contact(s, {{2, 0}, {8, 0}}) == Contact::overlap);
    CHECK(contact(s, {{10, 0}, {0, 0}}) == Contact::overlap);
    CHECK(contact(s, {{11, 0}, {20, 0}}) == Contact::none);
    CHECK(contact(s, {{20, -10}, {20, 10}}) == Contact::none);
    CHECK(contact(s, {{-5, 5}, {5, -4}}) == Contact::cross);
    CHECK(contact(s, {{-5, 5}, {4, -6}}) == Contact::none);
}

TEST_CASE("a segment of length 0 is a point") {
    const LatticeSegment s{{0, 0}, {10, 10}};
    CHECK(contact(s, {{5, 5}, {5, 5}}) == Contact::touch);
    CHECK(contact(s, {{0, 0}, {0, 0}}) == Contact::shared_end);
    CHECK(contact(s, {{5, 6}, {5, 6}}) == Contact::none);
    CHECK(contact({{3, 3}, {3, 3}}, {{3, 3}, {3, 3}}) == Contact::shared_end);
    CHECK(inside_segment({5, 5}, s));
    CHECK_FALSE(inside_segment({10, 10}, s));
    CHECK_FALSE(inside_segment({11, 11}, s));
}

TEST_CASE("predicates are exact at the limit of the lattice") {
    const std::int32_t far = lattice_limit / 2 - 1;
    const LatticeSegment diagonal{{-far, -far}, {far, far - 1}};
    // The line passes x = 0 at y = -0.5, between two lattice points.
    CHECK(cross(diagonal.from, diagonal.to, {0, 0}) > 0);
    CHECK(cross(diagonal.from, diagonal.to, {0, -1}) < 0);
}

TEST_CASE("the index finds every segment that meets a path or a box") {
    std::mt19937 random{3};
    for (int round = 0; round < 40; ++round) {
        std::uniform_int_distribution<std::int32_t> coordinate{0, round % 2 == 0 ? 60000 : 40};
        std::uniform_int_distribution<std::int32_t> nearby{-300, 300};
        std::vector<LatticeSegment> segments(static_cast<std::size_t>(1 + round * 5));
        for (LatticeSegment& s : segments) {
            s.from = {coordinate(random), coordinate(random)};
            s.to = round % 3 == 0 ? LatticePoint{coordinate(random), coordinate(random)}
                                  : LatticePoint{s.from.x + nearby(random), s.from.y + nearby(random)};
        }
        const SegmentIndex index{segments};
        for (int query = 0; query < 50; ++query) {
            const LatticeSegment path{{coordinate(random) - 100, coordinate(random)},
                                      {coordinate(random) + 100, coordinate(random)}};
            std::set<std::uint32_t> along;
            index.any_along(path, [&](std::uint32_t row) {
                along.insert(row);
                return false;
            });
            std::set<std::uint32_t> inside;
            const LatticePoint low{std::min(path.from.x, path.to.x), std::min(path.from.y, path.to.y)};
            const LatticePoint high{std::max(path.from.x, path.to.x), std::max(path.from.y, path.to.y)};
            index.for_each_in(low, high, [&](std::uint32_t row) { inside.insert(row); });
            for (std::uint32_t row = 0; row < segments.size(); ++row) {
                if (contact(path, segments[row]) != Contact::none) {
                    CHECK(along.contains(row));
                    CHECK(inside.contains(row));
                }
            }
        }
    }
}

TEST_CASE("an index without segments finds nothing") {
    const SegmentIndex index{{}};
    CHECK_FALSE(index.any_along({{0, 0}, {5, 5}}, [](std::uint32_t) { return true; }));
}
