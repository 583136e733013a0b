"""Query part: a place, given by longitude and latitude. It stands for the tile there, or for the nearest tile."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.grid import tile_bounds, tiles_bounds
from geojepa_cli.search.neighbours import Hit, Level, tile_of_row
from geojepa_cli.search.query import Example, Source
from geojepa_cli.search.tag_counts import tags_of_tile
from geojepa_cli.store import csr
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.view import piece_reasons

EARTH_RADIUS_M = 6371008.8  # mean radius of the WGS 84 ellipsoid
MAX_DISTANCE_M = 5000.0  # a place farther from every embedded tile is outside the regions
_DEGREES = r"\s*([-+]?\d{1,3}(?:\.\d*)?(?:e-\d{1,3})?)\s*"  # Python writes 0.00001 as 1e-05
_PLACE = re.compile(f"{_DEGREES},{_DEGREES}", re.ASCII)


@dataclass(frozen=True)
class PlacePart:
    """A place as part of a query. The attributes are those of `QueryPart`; the text is `LON,LAT`, in degrees."""

    text: str
    option: str = "--at"
    weight: float = 1.0
    unlike: bool = False
    level: Level | None = "tile"
    has_place: bool = True

    def params(self) -> dict[str, object]:
        return {"at": list(parse_place(self.text)), "weight": self.weight, "unlike": self.unlike}

    def check(self, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
        check_inside(self.text, stores, limits)

    def resolve(self, source: Source) -> Example:
        lon, lat = parse_place(self.text)
        found = []
        for index, region in enumerate(source.regions):
            bounds = tiles_bounds(*(region.vectors[f"tile/{axis}"] for axis in "zxy"))
            if len(bounds):
                distances = distances_m(lon, lat, bounds)
                row = _first(bounds, distances, lon, lat)
                found.append((float(distances[row]), index, row))
        distance, index, row = min(found)
        region = source.regions[index]
        tile = tile_of_row(region.vectors, row)
        west, south, east, north = tile_bounds(*tile)
        note = f"the place is in tile {tile.name}"
        if distance > 0:
            note = f"the place is in no embedded tile; the nearest is {tile.name}, {distance_text(distance)} away"
        return Example(
            source.unit(region.vectors["tile/vector"][row]),
            Hit(index, row),
            tile,
            places=(((west + east) / 2, (south + north) / 2),),
            tags=tags_of_tile(region, row),
            note=note,
        )


def check_inside(text: str, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
    """Checks that a place is in an embedded tile, or at most `MAX_DISTANCE_M` from the nearest one.

    Args:
        text: `LON,LAT` in degrees.
        stores: opened `processed.h5` of each region.
        limits: minimum and maximum number of entities in an embedded tile.

    Raises:
        NotFoundError: the place is outside the regions. The hint has the nearest tile.
    """
    lon, lat = parse_place(text)
    tiles = [
        (tiles_bounds(*(one[f"tile/{axis}"] for axis in "zxy"))[_embedded(one, limits)], one.name) for one in stores
    ]
    least, tile, region = _nearest(lon, lat, tiles)
    if tile is None or least <= MAX_DISTANCE_M:
        return
    message = f"`--at {text}` is outside the regions: the nearest tile is {distance_text(least)} away, in `{region}`"
    inside = f"{(tile[0] + tile[2]) / 2:.5f},{(tile[1] + tile[3]) / 2:.5f}"
    swapped = _nearest(lat, lon, tiles)[0] if abs(lon) <= 90 else math.inf
    if swapped < 20 * MAX_DISTANCE_M:
        message += "; longitude comes before latitude"
    if swapped <= MAX_DISTANCE_M:
        inside = f"{lat},{lon}"
    raise NotFoundError(message, hints.instead(("--at", text), ("--at", inside)))


def _nearest(
    lon: float, lat: float, tiles: Sequence[tuple[NDArray[np.float64], str]]
) -> tuple[float, NDArray[np.float64] | None, str]:
    """Returns the distance of a place to the nearest tile in metres, the bounds of this tile, and its region."""
    found: tuple[float, NDArray[np.float64] | None, str] = (math.inf, None, "")
    for bounds, region in tiles:
        if len(bounds):
            distances = distances_m(lon, lat, bounds)
            row = int(distances.argmin())
            found = min(found, (float(distances[row]), bounds[row], region), key=lambda one: one[0])
    return found


def parse_place(text: str) -> tuple[float, float]:
    """Parses longitude and latitude in degrees, such as `-76.88,40.26`.

    Raises:
        UsageError: the text has another form, or the place is not on the globe.
    """
    match = _PLACE.fullmatch(text)
    if match is None:
        raise UsageError(f"`--at {text}`: expected LON,LAT in degrees", hints.again(at="-76.88,40.26"))
    lon, lat = float(match[1]), float(match[2])
    if abs(lon) > 180 or abs(lat) > 90:
        message = f"`--at {text}`: expected a longitude from -180 to 180, then a latitude from -90 to 90"
        raise UsageError(message, hints.again(at="-76.88,40.26"))
    return lon, lat


def distances_m(lon: float, lat: float, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the distance of a place to the nearest point of tiles on a sphere; 0 inside a tile. float64 [n]

    Args:
        lon, lat: place in degrees.
        bounds: west, south, east and north of the tiles in degrees. float64 [n, 4]
    """
    west, south, east, north = bounds.T
    middle = (west + east) / 2
    around = middle + (lon - middle + 180.0) % 360.0 - 180.0  # the shorter way round the globe
    x, y = np.clip(around, west, east), np.clip(lat, south, north)
    half = np.sin(np.radians(y - lat) / 2) ** 2
    half += np.cos(np.radians(y)) * math.cos(math.radians(lat)) * np.sin(np.radians(x - around) / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(half.clip(0, 1))))


def distance_text(metres: float) -> str:
    """Returns a distance such as `310 m` or `12.4 km`."""
    if metres < 1000:
        return f"{metres:.0f} m"
    return f"{metres / 1000:.1f} km" if metres < 100_000 else f"{metres / 1000:,.0f} km"


def _first(bounds: NDArray[np.float64], distances: NDArray[np.float64], lon: float, lat: float) -> int:
    """Returns the nearest tile. A place on an edge belongs to the tile that has it as its west or north edge."""
    rows = np.flatnonzero(distances == distances.min())
    inside = (bounds[rows, 0] <= lon) & (lon < bounds[rows, 2]) & (bounds[rows, 1] < lat) & (lat <= bounds[rows, 3])
    return int(rows[inside.argmax()])


def _embedded(store: RegionStore, limits: EntityLimits) -> NDArray[np.bool_]:
    """Returns which tiles of a region have a number of entities within the limits. bool [tiles]"""
    ends = store["tile/pieces"].astype(np.int64)
    entities = np.diff(csr.offsets(piece_reasons(store) == 0)[ends])
    return np.asarray((entities >= limits.low) & (entities <= limits.high))
