// Geodetic to geocentric to east/north, with the meridian of the origin as the x axis.
#include "clip/enu.hpp"

#include <cmath>
#include <numbers>

namespace geojepa {
namespace {

constexpr double semi_major_axis_m = 6378137.0;
constexpr double flattening = 1.0 / 298.257223563;
constexpr double eccentricity_squared = flattening * (2.0 - flattening);
constexpr double radians_per_degree = std::numbers::pi / 180.0;

/// Radius of curvature in the prime vertical.
double normal_radius_m(double sin_lat) {
    return semi_major_axis_m / std::sqrt(1.0 - eccentricity_squared * sin_lat * sin_lat);
}

}  // namespace

EnuFrame::EnuFrame(double lon_deg, double lat_deg)
    : lon_deg_{lon_deg},
      sin_lat_{std::sin(lat_deg * radians_per_degree)},
      cos_lat_{std::cos(lat_deg * radians_per_degree)},
      axis_distance_m_{normal_radius_m(sin_lat_) * cos_lat_},
      equator_height_m_{normal_radius_m(sin_lat_) * (1.0 - eccentricity_squared) * sin_lat_} {}

EastNorth EnuFrame::to_enu(double lon_deg, double lat_deg) const {
    const double lat = lat_deg * radians_per_degree;
    const double turn = (lon_deg - lon_deg_) * radians_per_degree;
    const double sin_lat = std::sin(lat);
    const double radius = normal_radius_m(sin_lat);
    const double axis_distance = radius * std::cos(lat);
    const double outward = axis_distance * std::cos(turn) - axis_distance_m_;
    const double upward = radius * (1.0 - eccentricity_squared) * sin_lat - equator_height_m_;
    return {axis_distance * std::sin(turn), cos_lat_ * upward - sin_lat_ * outward};
}

GroundSize tile_ground_size(double west_deg, double south_deg, double east_deg, double north_deg) {
    const EnuFrame frame{west_deg, south_deg};
    return {frame.to_enu(east_deg, south_deg).east_m, frame.to_enu(west_deg, north_deg).north_m};
}

}  // namespace geojepa
