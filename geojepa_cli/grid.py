"""The tile grid: names, bounds, groups, ground size, and conversion between longitude/latitude and tile units.

Tiles are Web Mercator tiles `zoom_x_y`: x counts eastwards from the antimeridian, y counts southwards from the north.
Tile-local coordinates (east, north) lie in the plane that is tangent to WGS84 at the south-west corner of the tile, at
height 0. Both are divided by the length of the tile's south edge. native/src/clip/enu.cpp has the same formulas.
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
    """A tile of the Web Mercator grid."""

    z: int
    x: int
    y: int

    @property
    def name(self) -> str:
        """Name of the tile, such as `16_18052_25957`."""
        return f"{self.z}_{self.x}_{self.y}"


def parse_tile(name: str) -> TileId:
    """Parses the name of a tile, such as `16_18052_25957`.

    Raises:
        UsageError: the text is not `zoom_x_y`, or the tile lies outside the grid.
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
    """Returns the tile that contains a point. A tile includes its west and north edges, but not its east and south.

    Points beyond the latitudes of the grid (±85.0511°) are in the nearest tile.
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


def group_of(x: int, y: int, z: int) -> str:
    """Returns the zoom-14 group that contains a tile, such as `14_4513_6489`. Splits assign whole groups.

    Raises:
        UsageError: the zoom of the tile is below 14.
    """
    shift = z - GROUP_ZOOM
    if shift < 0:
        raise UsageError(f"tiles of zoom {z} have no zoom-{GROUP_ZOOM} group", hints.run("tile", zoom=GROUP_ZOOM))
    return TileId(GROUP_ZOOM, x >> shift, y >> shift).name


def ground_size(z: int, x: int, y: int) -> tuple[float, float]:
    """Returns the lengths of a tile's south and west edges in metres: (east_m, north_m)."""
    west, south, east, north = tile_bounds(z, x, y)
    frame = EnuFrame(west, south)
    return float(frame.to_enu(east, south)[0]), float(frame.to_enu(west, north)[1])


class EnuFrame:
    """Local east-north coordinates in the plane that is tangent to WGS84 at an origin of height 0.

    The origin can be an array that broadcasts against the points, to convert points of many tiles at once.

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
        """Converts degrees to metres (east, north)."""
        lat = np.radians(np.asarray(lat_deg, np.float64))
        turn = np.radians(np.asarray(lon_deg, np.float64) - self.lon_deg)
        radius = _normal_radius_m(np.sin(lat))
        axis_distance = radius * np.cos(lat)
        outward = axis_distance * np.cos(turn) - self._axis_distance_m
        upward = radius * (1.0 - ECCENTRICITY_SQUARED) * np.sin(lat) - self._equator_height_m
        return axis_distance * np.sin(turn), self._cos_lat * upward - self._sin_lat * outward

    def to_lonlat(self, east_m: npt.ArrayLike, north_m: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Converts metres in the plane to degrees (lon, lat).

        Each point is projected onto the ellipsoid, perpendicular to the plane.
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


def to_tile_local(tile: TileId, lon: npt.ArrayLike, lat: npt.ArrayLike) -> Floats:
    """Converts degrees to tile-local coordinates: float64 [..., 2], (east, north) divided by the south edge."""
    west, south, _, _ = tile_bounds(*tile)
    east_m, north_m = EnuFrame(west, south).to_enu(lon, lat)
    return np.stack([east_m, north_m], axis=-1) / ground_size(*tile)[0]


def from_tile_local(tile: TileId, xy: npt.ArrayLike) -> Floats:
    """Converts tile-local coordinates [..., 2] to degrees: float64 [..., 2], (lon, lat)."""
    west, south, _, _ = tile_bounds(*tile)
    metres = np.asarray(xy, np.float64) * ground_size(*tile)[0]
    return np.stack(EnuFrame(west, south).to_lonlat(metres[..., 0], metres[..., 1]), axis=-1)


def _corner(z: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Returns longitude and latitude in degrees of the north-west corners of tiles."""
    size = np.exp2(np.asarray(z, np.float64))
    lon = np.asarray(x, np.float64) / size * 360.0 - 180.0
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * np.asarray(y, np.float64) / size))))
    return lon, lat


def _normal_radius_m(sin_lat: Floats) -> Floats:
    """Returns the radius of curvature in the prime vertical, in metres."""
    radius: Floats = SEMI_MAJOR_AXIS_M / np.sqrt(1.0 - ECCENTRICITY_SQUARED * sin_lat * sin_lat)
    return radius
