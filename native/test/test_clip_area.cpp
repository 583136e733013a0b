// Polygons clipped to tiles, against the sum of their areas and the overlay of GEOS.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <numbers>
#include <random>
#include <utility>
#include <vector>

#include "clip/clip_area.hpp"
#include "clip/repair.hpp"
#include "clip/simple_ring.hpp"
#include "clip/split.hpp"

using namespace geojepa;

namespace {

const Grid grid{16};
constexpr std::uint32_t corner = 32768;
constexpr double side = 54931.640625;  // of a tile at the equator, in 1e-7 degrees

Ring ring(const std::vector<std::pair<double, double>>& places) {
    Ring result;
    for (const auto& [x, y] : places) {
        result.push_back({std::round(x * side), std::round(-y * side)});
    }
    return result;
}

Ring square(double low, double high) {
    return ring({{low, low}, {high, low}, {high, high}, {low, high}});
}

Polygon polygon(std::vector<Ring> rings) {
    Polygon result{std::move(rings)};
    orient(result);
    return result;
}

TiledParts clip(const Polygon& area) {
    TiledParts out;
    (void)clip_area(grid, grid.all_tiles(), area, out);
    return out;
}

std::map<std::pair<int, int>, double> areas(const TiledParts& out) {
    std::map<std::pair<int, int>, double> result;
    for (const TiledParts::Part& part : out.parts) {
        result[{static_cast<int>(part.tile.x) - static_cast<int>(corner),
                static_cast<int>(part.tile.y) - static_cast<int>(corner)}] += twice_area(out.points_of(part)) / 2;
    }
    for (const auto& [window, outlines] : out.covered) {
        for (std::uint32_t y = window.first.y; y <= window.last.y; ++y) {
            for (std::uint32_t x = window.first.x; x <= window.last.x; ++x) {
                const Bounds b = grid.bounds({x, y});
                result[{static_cast<int>(x) - static_cast<int>(corner),
                        static_cast<int>(y) - static_cast<int>(corner)}] += (b.east - b.west) * (b.north - b.south);
            }
        }
    }
    return result;
}

double area_of(const Polygon& area) {
    double sum = 0;
    for (const Ring& r : area.rings) {
        sum += twice_area(r) / 2;
    }
    return sum;
}

std::size_t count(const TiledParts& out, int x, int y, schema::Role role) {
    std::size_t found = 0;
    for (const TiledParts::Part& part : out.parts) {
        found +=
            part.tile == TileIndex{corner + static_cast<std::uint32_t>(x), corner + static_cast<std::uint32_t>(y)} &&
                    part.role == role
                ? 1
                : 0;
    }
    return found;
}

}  // namespace

TEST_CASE("an area inside one tile is unchanged") {
    const TiledParts out = clip(polygon({square(0.2, 0.8)}));
    REQUIRE(out.parts.size() == 1);
    CHECK(out.points.size() == 4);
    CHECK(twice_area(out.points) > 0);
}

TEST_CASE("an area over four tiles is split into four parts of the same total area") {
    const Polygon area = polygon({square(0.25, 1.75)});
    const auto found = areas(clip(area));
    REQUIRE(found.size() == 4);
    double sum = 0;
    for (const auto& [tile, part] : found) {
        sum += part;
    }
    CHECK(sum == doctest::Approx(area_of(area)).epsilon(1e-12));
}

TEST_CASE("the teeth of a comb become separate parts") {
    const TiledParts out = clip(polygon(
        {ring({{0.5, 0.1}, {1.5, 0.1}, {1.5, 0.9}, {0.5, 0.9}, {0.5, 0.6}, {1.2, 0.6}, {1.2, 0.4}, {0.5, 0.4}})}));
    CHECK(count(out, 0, 0, schema::Role::outer) == 2);
    CHECK(count(out, 1, 0, schema::Role::outer) == 1);
}

TEST_CASE("a hole in one tile stays a hole, one on the edge becomes part of the outline") {
    const TiledParts inside = clip(polygon({square(0.1, 1.9), square(0.3, 0.6)}));
    CHECK(count(inside, 0, 0, schema::Role::inner) == 1);
    CHECK(count(inside, 1, 0, schema::Role::inner) == 0);
    const TiledParts across = clip(polygon({square(0.1, 1.9), square(0.6, 1.4)}));
    CHECK(count(across, 0, 0, schema::Role::inner) == 0);
    CHECK(count(across, 0, 0, schema::Role::outer) == 1);
}

TEST_CASE("holes follow the part that contains them") {
    // Two bars joined on the right, each with a hole left of the edge.
    const Polygon area =
        polygon({ring({{0.1, 0.1}, {1.5, 0.1}, {1.5, 0.9}, {0.1, 0.9}, {0.1, 0.6}, {1.2, 0.6}, {1.2, 0.4}, {0.1, 0.4}}),
                 ring({{0.3, 0.2}, {0.5, 0.2}, {0.5, 0.3}, {0.3, 0.3}}),
                 ring({{0.3, 0.7}, {0.5, 0.7}, {0.5, 0.8}, {0.3, 0.8}})});
    const TiledParts out = clip(area);
    std::vector<schema::Role> roles;
    for (const TiledParts::Part& part : out.parts) {
        if (part.tile.x == corner) {
            roles.push_back(part.role);
        }
    }
    using enum schema::Role;
    CHECK(roles == std::vector<schema::Role>{outer, inner, outer, inner});
}

TEST_CASE("tiles inside an area are covered and have no points") {
    const TiledParts out = clip(polygon({square(-1.5, 2.5)}));
    std::size_t covered = 0;
    for (const auto& [window, outlines] : out.covered) {
        covered += std::size_t{window.last.x - window.first.x + 1} * (window.last.y - window.first.y + 1);
    }
    CHECK(covered == 9);
    CHECK(out.parts.size() == 16);
}

TEST_CASE("an area that ends at an edge, or only touches it, has no part beyond it") {
    // Greenwich and the equator are edges at whole units.
    CHECK(areas(clip(polygon({square(0, 0.5)}))).size() == 1);
    CHECK(areas(clip(polygon({ring({{0, 0.5}, {0.5, 0.2}, {0.5, 0.8}})}))).size() == 1);
    CHECK(areas(clip(polygon({ring({{0, 0.5}, {-0.5, 0.2}, {-0.5, 0.8}})}))).size() == 1);
    CHECK(areas(clip(polygon({ring({{-0.5, 0.2}, {0, 0.3}, {0.5, 0.2}, {0, 0.8}})}))).size() == 2);
}

TEST_CASE("a cut through vertices or along a side preserves the area") {
    const Polygon area =
        polygon({ring({{-0.5, 0.2}, {0, 0.2}, {0, 0.4}, {0.5, 0.4}, {0.5, 0.8}, {0, 0.8}, {-0.5, 0.8}})});
    const auto found = areas(clip(area));
    REQUIRE(found.size() == 2);
    CHECK(found.at({-1, 0}) + found.at({0, 0}) == doctest::Approx(area_of(area)).epsilon(1e-12));
}

TEST_CASE("a ring that crosses itself is not simple, and does not break clipping") {
    const Polygon bow_tie = polygon({ring({{-0.8, 0.2}, {0.8, 0.8}, {0.8, 0.2}, {-0.8, 0.8}})});
    TiledParts out;
    (void)clip_area(grid, grid.all_tiles(), bow_tie, out);
    CHECK_FALSE(is_simple(std::vector<Position>{{0, 0}, {10, 10}, {10, 0}, {0, 10}}));
    CHECK(is_simple(std::vector<Position>{{0, 0}, {10, 0}, {10, 10}, {0, 10}}));
    CHECK_FALSE(is_simple(std::vector<Position>{{0, 0}, {10, 0}, {5, 0}, {5, 5}}));  // runs back
    CHECK_FALSE(is_simple(std::vector<Position>{{0, 0}, {10, 0}, {5, 5}, {5, 0}}));  // touches a side
}

TEST_CASE("rings of any length are classified as simple or not") {
    for (const int teeth : {1000, 10000}) {  // below and above the limit for GEOS
        for (const bool upright : {false, true}) {
            std::vector<Position> comb;
            const auto push = [&](std::int32_t along, std::int32_t across) {
                comb.push_back(upright ? Position{along, across} : Position{across, along});
            };
            for (std::int32_t tooth = 0; tooth < teeth; ++tooth) {
                push(4 * tooth, 100);
                push(4 * tooth, 1000);
                push(4 * tooth + 2, 1000);
                push(4 * tooth + 2, 100);
            }
            push(4 * teeth, 0);
            push(0, 0);
            CHECK(is_simple(comb));
            comb[4 * 500 + 2].lon += upright ? 2 : 0;  // moves a corner of a tooth onto the side of the next one
            comb[4 * 500 + 2].lat += upright ? 0 : 2;
            CHECK_FALSE(is_simple(comb));
        }
    }
}

TEST_CASE("every tile of random stars with holes has the area that GEOS computes") {
    std::mt19937 random{11};
    std::uniform_real_distribution<double> unit{0, 1};
    for (int round = 0; round < 150; ++round) {
        const std::size_t size = 3 + random() % 60;
        std::vector<std::pair<double, double>> places;
        std::vector<std::pair<double, double>> hole;
        for (std::size_t i = 0; i < size; ++i) {
            const double angle =
                2 * std::numbers::pi * (static_cast<double>(i) + 0.5 * unit(random)) / static_cast<double>(size);
            const double radius = 0.6 + 1.5 * unit(random);
            places.emplace_back(0.3 + radius * std::cos(angle), 0.4 + radius * std::sin(angle));
            hole.emplace_back(0.3 + 0.25 * radius * std::cos(angle), 0.4 + 0.25 * radius * std::sin(angle));
        }
        const Polygon area = polygon({ring(places), ring(hole)});
        std::map<std::pair<int, int>, double> expected;
        for (int x = -3; x <= 3; ++x) {
            for (int y = -3; y <= 3; ++y) {
                const Bounds b =
                    grid.bounds({corner + static_cast<std::uint32_t>(x), corner + static_cast<std::uint32_t>(y)});
                for (const Polygon& part : intersect(area, b)) {
                    expected[{x, y}] += area_of(part);
                }
            }
        }
        const auto found = areas(clip(area));
        for (const auto& [tile, value] : expected) {
            if (value > 1) {
                REQUIRE(found.contains(tile));
                CHECK(found.at(tile) == doctest::Approx(value).epsilon(1e-9));
            }
        }
        for (const auto& [tile, value] : found) {
            CHECK((value < 1 || expected.contains(tile)));
        }
    }
}

TEST_CASE("a hole that touches the corner of four tiles stays a hole") {
    // The even-odd result of a ring that crosses itself; found by fuzzing.
    const Polygon area = polygon(
        {ring({{-0.5, -0.5}, {20, -0.01}, {-20, 3.5}, {-0.4, 0.07}}), ring({{-0.4, 0.07}, {0, 0}, {-0.3, 0.6}})});
    const TiledParts out = clip(area);
    double sum = 0;
    for (const auto& [tile, inside] : areas(out)) {
        sum += inside;
    }
    CHECK(sum == doctest::Approx(area_of(area)).epsilon(1e-9));
    CHECK(count(out, -1, 0, schema::Role::inner) + count(out, -1, 0, schema::Role::outer) >= 1);
}

TEST_CASE("a side on the cut with the area below it leaves no spike above") {
    // A T upside down, whose arms end at the equator, and the same lying on its side along Greenwich.
    const std::vector<std::pair<double, double>> upright{{0.2, 0.5},  {0.8, 0.5},  {0.8, 0}, {0.6, 0},
                                                         {0.6, -0.5}, {0.4, -0.5}, {0.4, 0}, {0.2, 0}};
    std::vector<std::pair<double, double>> lying;
    for (const auto& [x, y] : upright) {
        lying.emplace_back(-y, -x);
    }
    for (const Polygon& area : {polygon({ring(upright)}), polygon({ring(lying)})}) {
        std::vector<std::size_t> sizes;
        const TiledParts out = clip(area);
        for (const TiledParts::Part& part : out.parts) {
            double round = 0;
            const auto points = out.points_of(part);
            for (std::size_t i = 0; i < points.size(); ++i) {
                const Point next = points[(i + 1) % points.size()];
                round += std::abs(next.lon - points[i].lon) + std::abs(next.lat - points[i].lat);
            }
            const double inside = twice_area(points) / 2 / side / side;
            CHECK(round / side == doctest::Approx(inside < 0.2 ? 1.4 : 2.2).epsilon(1e-4));
        }
        CHECK(out.parts.size() == 2);
    }
}

TEST_CASE("a ring encloses the places that it surrounds an odd number of times") {
    std::mt19937 random{5};
    for (int trial = 0; trial < 200; ++trial) {
        Ring scribble;
        const std::size_t size = 4 + random() % 9;
        while (scribble.size() < size) {
            scribble.push_back({static_cast<double>(random() % 7) * 10, static_cast<double>(random() % 7) * 10});
        }
        const std::vector<Polygon> valid = make_valid({scribble});
        // These places lie on no line between lattice points. The sum of angles gives the winding number.
        for (double x = 1.3137; x < 60; x += 7.7713) {
            for (double y = 2.1719; y < 60; y += 6.9337) {
                double angle = 0;
                for (std::size_t i = 0; i < scribble.size(); ++i) {
                    const Point a = scribble[i];
                    const Point b = scribble[(i + 1) % scribble.size()];
                    angle += std::remainder(std::atan2(b.lat - y, b.lon - x) - std::atan2(a.lat - y, a.lon - x),
                                            2 * std::numbers::pi);
                }
                const long turns = std::lround(angle / (2 * std::numbers::pi));
                int around = 0;
                for (const Polygon& part : valid) {
                    for (const Ring& r : part.rings) {
                        around += ring_contains(r, {x, y}) ? 1 : 0;
                    }
                }
                CHECK((around % 2 == 1) == (turns % 2 != 0));
            }
        }
    }
}

TEST_CASE("rings without area enclose nothing") {
    CHECK(make_valid({}).empty());
    CHECK(make_valid({{{5, 5}, {5, 5}, {5, 5}}}).empty());
    CHECK(make_valid({{{0, 0}, {10, 0}, {5, 0}}}).empty());
}
