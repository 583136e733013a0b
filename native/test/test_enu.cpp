// The tangent plane against known lengths on WGS84. tests/golden/test_process.py compares it with PROJ.
#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>

#include "clip/enu.hpp"

using geojepa::EastNorth;
using geojepa::EnuFrame;
using geojepa::tile_ground_size;

TEST_CASE("the origin of a frame is zero") {
    const EnuFrame frame{-122.4, 37.77};
    const EastNorth place = frame.to_enu(-122.4, 37.77);
    CHECK(place.east_m == 0.0);
    CHECK(place.north_m == 0.0);
}

TEST_CASE("a degree at the equator has the length given by the ellipsoid") {
    // sin(1°) times the semi-major axis, and the north component of the chord at latitude 0.
    CHECK(EnuFrame(0, 0).to_enu(1, 0).east_m == doctest::Approx(6378137.0 * std::sin(M_PI / 180)).epsilon(1e-12));
    CHECK(EnuFrame(0, 0).to_enu(0, 0.001).north_m == doctest::Approx(110.5743).epsilon(1e-6));
}

TEST_CASE("east and north have the right sign in every hemisphere") {
    for (const double lat : {-60.0, -10.0, 10.0, 60.0}) {
        for (const double lon : {-170.0, -10.0, 10.0, 170.0}) {
            const EastNorth place = EnuFrame(lon, lat).to_enu(lon + 0.001, lat + 0.001);
            CHECK(place.east_m > 0);
            CHECK(place.north_m > 0);
        }
    }
}

TEST_CASE("the ground size of a San Francisco tile") {
    // Tile 16_10482_25331. The Web Mercator formula gives its bounds.
    const auto edge = [](double y) { return std::atan(std::sinh(M_PI * (1 - 2 * y / 65536))) * 180 / M_PI; };
    const double west = 10482.0 / 65536 * 360 - 180;
    const auto size = tile_ground_size(west, edge(25332), west + 360.0 / 65536, edge(25331));
    // Arcs along the parallel and the meridian. At this size they differ from the plane by less than a millimetre.
    const double squash = 0.00669437999014;
    const double south = edge(25332) * M_PI / 180;
    const double north = edge(25331) * M_PI / 180;
    const double bend = 1 - squash * std::pow(std::sin((south + north) / 2), 2);
    const double parallel_m = 6378137.0 / std::sqrt(1 - squash * std::pow(std::sin(south), 2)) * std::cos(south);
    CHECK(std::abs(size.east_m - parallel_m * 2 * M_PI / 65536) < 1e-3);
    CHECK(std::abs(size.north_m - 6378137.0 * (1 - squash) / std::pow(bend, 1.5) * (north - south)) < 1e-3);
    CHECK(size.east_m == doctest::Approx(484).epsilon(1e-3));
}
