"""The Web Mercator tile grid: tile names, bounds and sizes, and conversion between degrees and tile-local coordinates.

A tile is named `zoom_x_y`. x counts eastwards from the antimeridian, y counts southwards from the north edge of the
grid.

Tile-local coordinates (east, north) are distances from the tile's south-west corner, divided by the length of the
tile's south edge. They are measured in the plane that is tangent to the WGS84 ellipsoid at this corner.
native/src/clip/enu.cpp has the same formulas.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import UsageError

GROUP_ZOOM = 14
MAX_ZOOM = 24
SEMI_MAJOR_AXIS_M = 6378137.0
FLATTENING = 1.0 / 298.257223563
ECCENTRICITY_SQUARED = FLATTENING * (2.0 - FLATTENING)

Floats = npt.NDArray[np.float64]
Bounds = tuple[float, float, float, float]
_NAME = re.compile(r"(\d{1,2})_(\d{1,8})_(\d{1,8})")


class TileId(NamedTuple):
    """A tile of the Web Mercator grid: zoom, column (x) and row (y)."""

    z: int
    x: int
    y: int

    @property
    def name(self) -> str:
        """Name of the tile, such as `16_18052_25957`."""
        return f"{self.z}_{self.x}_{self.y}"


def parse_tile(name: str) -> TileId:
    """Returns the tile with a given name, such as `16_18052_25957`.

    Raises:
        UsageError: `name` is not of the form `zoom_x_y`, or the tile lies outside the grid.
    """
    match = _NAME.fullmatch(name.strip())
    if match is None:
        raise UsageError(f"`{name}` is not the name of a tile: expected `zoom_x_y`, such as `16_18052_25957`")
    tile = TileId(*(int(part) for part in match.groups()))
    if tile.z > MAX_ZOOM or tile.x >= 1 << tile.z or tile.y >= 1 << tile.z:
        message = f"tile `{name}` is outside the grid: expected x and y from 0 to 2^zoom - 1, zoom up to {MAX_ZOOM}"
        raise UsageError(message)
    return tile


def tile_bounds(z: int, x: int, y: int) -> Bounds:
    """Returns the bounds of a tile in degrees: (west, south, east, north)."""
    west, north = _corner(z, np.float64(x), np.float64(y))
    east, south = _corner(z, np.float64(x + 1), np.float64(y + 1))
    return float(west), float(south), float(east), float(north)


def tiles_bounds(z: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> Floats:
    """Returns the bounds of several tiles: float64 [n, 4], (west, south, east, north) in degrees."""
    columns, rows = np.asarray(x, np.float64), np.asarray(y, np.float64)
    west, north = _corner(z, columns, rows)
    east, south = _corner(z, columns + 1, rows + 1)
    return np.stack([west, south, east, north], axis=-1)


def tile_of(lon: float, lat: float, z: int) -> TileId:
    """Returns the tile of zoom z that contains a point.

    A tile includes its west and north edges, but not its east and south edges. For a point north or south of the grid
    (beyond ±85.0511° latitude), the nearest tile is returned.
    """
    size = 1 << z
    x = int(np.clip(np.floor((lon + 180.0) / 360.0 * size), 0, size - 1))
    mercator = np.arcsinh(np.tan(np.radians(np.clip(lat, -89.9, 89.9))))
    y = int(np.clip(np.floor((1.0 - mercator / np.pi) / 2.0 * size), 0, size - 1))
    # Rounding may assign a point near an edge to the neighbouring tile. Comparing with the bounds corrects this.
    west, south, east, north = tile_bounds(z, x, y)
    x += int(lon >= east and x + 1 < size) - int(lon < west and x > 0)
    y += int(lat <= south and y + 1 < size) - int(lat > north and y > 0)
    return TileId(z, x, y)


def tile_numbers(lon: npt.ArrayLike, lat: npt.ArrayLike, z: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns the tiles of zoom z that contain the given points, as two arrays: columns x and rows y, int64 [n] each.

    For a point north or south of the grid (beyond ±85.0511° latitude), the nearest tile is returned.
    """
    size = 1 << z
    lon_deg, lat_deg = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    x = np.clip(np.floor((lon_deg + 180.0) / 360.0 * size), 0, size - 1).astype(np.int64)
    mercator = np.arcsinh(np.tan(np.radians(np.clip(lat_deg, -89.9, 89.9))))
    y = np.clip(np.floor((1.0 - mercator / np.pi) / 2.0 * size), 0, size - 1).astype(np.int64)
    west, south, east, north = np.moveaxis(tiles_bounds(z, x, y), -1, 0)
    x += ((lon_deg >= east) & (x + 1 < size)).astype(np.int64) - ((lon_deg < west) & (x > 0))
    y += ((lat_deg <= south) & (y + 1 < size)).astype(np.int64) - ((lat_deg > north) & (y > 0))
    return x, y


def group_of(x: int, y: int, z: int) -> str:
    """Returns the name of the zoom-14 tile that contains a tile, such as `14_4513_6489`.

    This zoom-14 tile is called the group of the tile. All tiles of a group are assigned to the same dataset split.

    Raises:
        UsageError: the zoom of the tile is below 14.
    """
    shift = z - GROUP_ZOOM
    if shift < 0:
        message = f"tiles of zoom {z} are larger than tiles of zoom {GROUP_ZOOM}; expected zoom {GROUP_ZOOM} or above"
        raise UsageError(message, hints.run("tile", zoom=GROUP_ZOOM))
    return TileId(GROUP_ZOOM, x >> shift, y >> shift).name


def ground_size(z: int, x: int, y: int) -> tuple[float, float]:
    """Returns the length of a tile's south edge and of its west edge, in metres: (east_m, north_m)."""
    west, south, east, north = tile_bounds(z, x, y)
    frame = EnuFrame(west, south)
    return float(frame.to_enu(east, south)[0]), float(frame.to_enu(west, north)[1])


class EnuFrame:
    """Converts between degrees and local coordinates (east, north) in metres.

    The local coordinates lie in the plane that is tangent to the WGS84 ellipsoid at the origin. To convert points of
    many tiles at once, pass an array of origins that broadcasts against the points.

    Args:
        lon_deg: longitude of the origin in degrees.
        lat_deg: latitude of the origin in degrees.
    """

    def __init__(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> None:
        self.lon_deg = np.asarray(lon_deg, np.float64)
        lat = np.radians(np.asarray(lat_deg, np.float64))
        self._sin_lat, self._cos_lat = np.sin(lat), np.cos(lat)
        radius = _normal_radius_m(self._sin_lat)
        self._axis_distance_m = radius * self._cos_lat
        self._equator_height_m = radius * (1.0 - ECCENTRICITY_SQUARED) * self._sin_lat

    def to_enu(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Converts longitudes and latitudes in degrees to local coordinates (east, north) in metres."""
        lat = np.radians(np.asarray(lat_deg, np.float64))
        turn = np.radians(np.asarray(lon_deg, np.float64) - self.lon_deg)
        radius = _normal_radius_m(np.sin(lat))
        axis_distance = radius * np.cos(lat)
        outward = axis_distance * np.cos(turn) - self._axis_distance_m
        upward = radius * (1.0 - ECCENTRICITY_SQUARED) * np.sin(lat) - self._equator_height_m
        return axis_distance * np.sin(turn), self._cos_lat * upward - self._sin_lat * outward

    def to_lonlat(self, east_m: npt.ArrayLike, north_m: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Converts local coordinates (east, north) in metres to longitudes and latitudes in degrees.

        Each point of the plane is projected onto the ellipsoid along a line perpendicular to the plane.
        """
        east, north = np.asarray(east_m, np.float64), np.asarray(north_m, np.float64)
        # The geocentric position is origin + east·E + north·N + up·U. It lies on the ellipsoid if `up` is the root near
        # 0 of x² + y² + z² / (1 - e²) = a².
        outward = self._axis_distance_m - self._sin_lat * north
        height = self._equator_height_m + self._cos_lat * north
        squash = 1.0 / (1.0 - ECCENTRICITY_SQUARED)
        a = self._cos_lat**2 + squash * self._sin_lat**2
        b = self._cos_lat * outward + squash * self._sin_lat * height
        c = outward**2 + east**2 + squash * height**2 - SEMI_MAJOR_AXIS_M**2
        up = -c / (b + np.sqrt(b * b - a * c))
        outward, height = outward + up * self._cos_lat, height + up * self._sin_lat
        lat = np.arctan2(height, (1.0 - ECCENTRICITY_SQUARED) * np.hypot(outward, east))
        return self.lon_deg + np.degrees(np.arctan2(east, outward)), np.degrees(lat)


def from_tile_local(tile: TileId, xy: npt.ArrayLike) -> Floats:
    """Converts the tile-local coordinates of points in one tile to degrees.

    Args:
        tile: tile that contains the points.
        xy: tile-local coordinates [..., 2]: distances (east, north) from the south-west corner of the tile, divided by
            the length of its south edge.

    Returns:
        (lon, lat) of each point, float64 [..., 2].
    """
    west, south, _, _ = tile_bounds(*tile)
    metres = np.asarray(xy, np.float64) * ground_size(*tile)[0]
    return np.stack(EnuFrame(west, south).to_lonlat(metres[..., 0], metres[..., 1]), axis=-1)


def from_tiles_local(z: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, xy: npt.ArrayLike) -> Floats:
    """Converts tile-local coordinates of points in several tiles to degrees, as `from_tile_local` does for one tile.

    Args:
        z, x, y: tile of each point, [n].
        xy: tile-local coordinates of each point, [n, 2].

    Returns:
        (lon, lat) of each point, float64 [n, 2].
    """
    west, south, east, _ = np.moveaxis(tiles_bounds(z, x, y), -1, 0)
    frame = EnuFrame(west, south)
    metres = np.asarray(xy, np.float64) * frame.to_enu(east, south)[0][:, None]
    return np.stack(frame.to_lonlat(metres[:, 0], metres[:, 1]), axis=-1)


def tile_uv(z: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, lonlat: npt.ArrayLike) -> Floats:
    """Returns the positions of places in the images of tiles, which are in the Web Mercator projection (EPSG:3857).

    Args:
        z, x, y: tile of each place, [n].
        lonlat: longitude and latitude of each place in degrees, [n, 2].

    Returns:
        (u, v) of each place, float64 [n, 2]: u is 0 at the west side of the tile and 1 at its east side, v is 0 at the
        north side and 1 at the south side. Places outside the tile have values below 0 or above 1.
    """
    places, size = np.asarray(lonlat, np.float64), np.exp2(np.asarray(z, np.float64))
    column = (places[:, 0] + 180.0) / 360.0 * size
    row = (1.0 - np.arcsinh(np.tan(np.radians(places[:, 1]))) / np.pi) / 2.0 * size
    return np.stack([column - np.asarray(x, np.float64), row - np.asarray(y, np.float64)], axis=-1)


def from_tile_uv(z: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, uv: npt.ArrayLike) -> Floats:
    """Converts positions in the images of tiles to degrees. This is the inverse of `tile_uv`.

    Args:
        z, x, y: tile of each position, numbers or [n].
        uv: positions (u, v), from the north-west corner of the image, [n, 2].

    Returns:
        (lon, lat) of each position, float64 [n, 2].
    """
    place = np.asarray(uv, np.float64)
    corner = _corner(z, np.asarray(x, np.float64) + place[:, 0], np.asarray(y, np.float64) + place[:, 1])
    return np.stack(np.broadcast_arrays(*corner), axis=-1)


def _corner(z: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Returns the longitude and the latitude of the north-west corner of each tile, in degrees."""
    size = np.exp2(np.asarray(z, np.float64))
    lon = np.asarray(x, np.float64) / size * 360.0 - 180.0
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * np.asarray(y, np.float64) / size))))
    return lon, lat


def _normal_radius_m(sin_lat: Floats) -> Floats:
    """Returns the prime vertical radius of curvature of the WGS84 ellipsoid at given latitudes, in metres."""
    radius: Floats = SEMI_MAJOR_AXIS_M / np.sqrt(1.0 - ECCENTRICITY_SQUARED * sin_lat * sin_lat)
    return radius
