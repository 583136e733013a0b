// Convex hulls and minimum-area boxes, against known shapes and a sweep over all angles.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>

#include "process/box.hpp"

using namespace geojepa;

namespace {

/// The area of the bounding box along an angle.
double area_along(const std::vector<EastNorth>& points, double angle) {
    double low_x = std::numeric_limits<double>::infinity();
    double low_y = low_x;
    double high_x = -low_x;
    double high_y = -low_x;
    for (const EastNorth point : points) {
        const double x = point.east_m * std::cos(angle) + point.north_m * std::sin(angle);
        const double y = point.north_m * std::cos(angle) - point.east_m * std::sin(angle);
        low_x = std::min(low_x, x);
        high_x = std::max(high_x, x);
        low_y = std::min(low_y, y);
        high_y = std::max(high_y, y);
    }
    return (high_x - low_x) * (high_y - low_y);
}

TurnedBox box_of(std::vector<EastNorth> points, double turn = 0) {
    return minimum_area_box(convex_hull(points), turn);
}

double area_of(const TurnedBox& box) {
    return box.length_m() * box.width_m();
}

}  // namespace

TEST_CASE("the hull drops inner, collinear and repeated points") {
    std::vector<EastNorth> points{{0, 0}, {2, 0}, {4, 0}, {4, 4}, {0, 4}, {2, 2}, {0, 0}, {0, 2}};
    const auto hull = convex_hull(points);
    REQUIRE(hull.size() == 4);
    double twice_area = 0;
    for (std::size_t at = 0; at < 4; ++at) {
        const EastNorth a = hull[at];
        const EastNorth b = hull[(at + 1) % 4];
        twice_area += a.east_m * b.north_m - a.north_m * b.east_m;
    }
    CHECK(twice_area == 32.0);  // positive: counter-clockwise
}

TEST_CASE("the box of a rotated rectangle is that rectangle") {
    for (const double turn : {0.0, 0.1, 0.7, 1.3, 2.9}) {
        std::vector<EastNorth> points;
        for (const auto& [x, y] : {std::pair{0.0, 0.0}, {10.0, 0.0}, {10.0, 3.0}, {0.0, 3.0}, {4.0, 1.0}}) {
            points.push_back({x * std::cos(turn) - y * std::sin(turn), x * std::sin(turn) + y * std::cos(turn)});
        }
        const TurnedBox box = box_of(points);
        CHECK(area_of(box) == doctest::Approx(30.0));
        CHECK(std::max(box.length_m(), box.width_m()) == doctest::Approx(10.0));
    }
}

TEST_CASE("no angle gives a smaller box than the calipers") {
    std::mt19937 random{7};
    std::uniform_real_distribution<double> coordinate{0, 100};
    for (int round = 0; round < 60; ++round) {
        std::vector<EastNorth> points(3 + static_cast<std::size_t>(round) % 40);
        for (EastNorth& point : points) {
            point = {coordinate(random), coordinate(random) * (round % 3 == 0 ? 0.05 : 1.0)};
        }
        const double area = area_of(box_of(points));
        double least = std::numeric_limits<double>::infinity();
        for (int step = 0; step < 9000; ++step) {
            least = std::min(least, area_along(points, step * 0.01 * std::numbers::pi / 180));
        }
        CHECK(area <= least * (1 + 1e-9));
        CHECK(area >= least * 0.98);  // the sweep comes close from above
        for (const EastNorth corner : box_of(points).corners()) {
            CHECK(std::isfinite(corner.east_m));
        }
    }
}

TEST_CASE("every point lies in its box") {
    std::mt19937 random{8};
    std::normal_distribution<double> coordinate{50, 20};
    for (int round = 0; round < 50; ++round) {
        std::vector<EastNorth> points(5 + static_cast<std::size_t>(round));
        for (EastNorth& point : points) {
            point = {coordinate(random), coordinate(random)};
        }
        const TurnedBox box = box_of(points);
        for (const EastNorth point : points) {
            const double along = point.east_m * box.direction.east_m + point.north_m * box.direction.north_m;
            const double across = point.north_m * box.direction.east_m - point.east_m * box.direction.north_m;
            CHECK(along >= box.back - 1e-9);
            CHECK(along <= box.front + 1e-9);
            CHECK(across >= box.right - 1e-9);
            CHECK(across <= box.left + 1e-9);
        }
    }
}

TEST_CASE("the box of a line grows to the minimum side, equally on both sides of the line") {
    TurnedBox box = box_of({{0, 0}, {3, 4}, {6, 8}});
    CHECK(box.length_m() == doctest::Approx(10.0));
    CHECK(box.width_m() == doctest::Approx(0.0));
    CHECK(grow_sides(box, 1.5));
    CHECK(box.length_m() == doctest::Approx(10.0));
    CHECK(box.width_m() == doctest::Approx(1.5));
    CHECK(box.left == doctest::Approx(-box.right));
    CHECK_FALSE(grow_sides(box, 1.4));
}

TEST_CASE("the box of a point is a square around it, whose rotation depends only on type and id") {
    const double turn = turn_of(schema::OsmType::node, 42);
    CHECK(turn == turn_of(schema::OsmType::node, 42));
    CHECK(turn != turn_of(schema::OsmType::way, 42));
    CHECK(turn != turn_of(schema::OsmType::node, 43));
    TurnedBox box = box_of({{20, 30}}, turn);
    CHECK(grow_sides(box, 1.5));
    CHECK(area_of(box) == doctest::Approx(2.25));
    double east = 0;
    double north = 0;
    for (const EastNorth corner : box.corners()) {
        east += corner.east_m / 4;
        north += corner.north_m / 4;
    }
    CHECK(east == doctest::Approx(20));
    CHECK(north == doctest::Approx(30));
    CHECK(std::atan2(box.direction.north_m, box.direction.east_m) == doctest::Approx(turn));
}

TEST_CASE("rotations are spread over the quarter circle") {
    int lower = 0;
    for (std::int64_t id = 0; id < 1000; ++id) {
        const double turn = turn_of(schema::OsmType::node, id);
        REQUIRE(turn >= 0);
        REQUIRE(turn < std::numbers::pi / 2);
        lower += turn < std::numbers::pi / 4 ? 1 : 0;
    }
    CHECK(lower > 440);
    CHECK(lower < 560);
}

TEST_CASE("stored corners run counter-clockwise from the lowest, then leftmost") {
    std::mt19937 random{9};
    std::uniform_real_distribution<double> coordinate{0, 400};
    for (int round = 0; round < 200; ++round) {
        std::vector<EastNorth> points(1 + static_cast<std::size_t>(round) % 5);
        for (EastNorth& point : points) {
            point = {coordinate(random), coordinate(random)};
        }
        if (round % 4 == 0) {
            points = {{10, 10}, {30, 10}, {30, 20}, {10, 20}};  // two lowest corners
        }
        TurnedBox box = box_of(points, turn_of(schema::OsmType::node, round));
        grow_sides(box, 1.5);
        const StoredBox c = store_box(box, 480);
        float twice_area = 0;
        for (std::size_t at = 0; at < 4; ++at) {
            CHECK((c[1] < c[2 * at + 1] || (c[1] == c[2 * at + 1] && c[0] <= c[2 * at])));
            const std::size_t next = (at + 1) % 4;
            twice_area += c[2 * at] * c[2 * next + 1] - c[2 * at + 1] * c[2 * next];
        }
        CHECK(twice_area > 0);
    }
}
