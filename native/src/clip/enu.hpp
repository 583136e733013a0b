// The plane in which lengths, areas and boxes are measured: tangent to WGS84 at the south-west corner of a tile.
#pragma once

namespace geojepa {

struct EastNorth {
    double east_m;
    double north_m;
};

/// East and north of a local tangent frame (east, north, up) at a point of the WGS84 ellipsoid.
///
/// Positions are at height 0. Agrees with PROJ's `cart` and `topocentric` to well under a millimetre. A call costs two
/// sine/cosine pairs and a square root.
class EnuFrame {
public:
    EnuFrame(double lon_deg, double lat_deg);

    EastNorth to_enu(double lon_deg, double lat_deg) const;

private:
    double lon_deg_;
    double sin_lat_;
    double cos_lat_;
    double axis_distance_m_;   ///< distance of the origin from the Earth's axis
    double equator_height_m_;  ///< height of the origin above the plane of the equator
};

struct GroundSize {
    double east_m;   ///< east coordinate of the south-east corner
    double north_m;  ///< north coordinate of the north-west corner
};

/// Ground size of the tile with these bounds, in the frame of its south-west corner.
GroundSize tile_ground_size(double west_deg, double south_deg, double east_deg, double north_deg);

}  // namespace geojepa
