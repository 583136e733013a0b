// The plane in which every length, area and box is measured: tangent to WGS84 at a tile's south-west corner.
#pragma once

namespace geojepa {

struct EastNorth {
    double east_m;
    double north_m;
};

/// Local geodetic frame (east, north, up) at a point of the WGS84 ellipsoid, with up dropped.
///
/// Positions are taken at height 0, so the frame agrees with PROJ's `cart` + `topocentric` to well under a
/// millimetre. One call costs two sine/cosine pairs and a square root; a frame is made once per tile.
class EnuFrame {
public:
    EnuFrame(double lon_deg, double lat_deg);

    EastNorth to_enu(double lon_deg, double lat_deg) const;

private:
    double lon_deg_;
    double sin_lat_;
    double cos_lat_;
    double axis_distance_m_;   ///< of the origin from the Earth's axis
    double equator_height_m_;  ///< of the origin over the equator's plane
};

struct GroundSize {
    double east_m;   ///< east coordinate of the south-east corner
    double north_m;  ///< north coordinate of the north-west corner
};

/// Ground size of the tile with these bounds, in the frame of its south-west corner.
GroundSize tile_ground_size(double west_deg, double south_deg, double east_deg, double north_deg);

}  // namespace geojepa
