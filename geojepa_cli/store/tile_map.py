"""Reads the OSM elements of a tile with their tags and geometry, to draw a map of the tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.grid import TileId, tile_bounds
from geojepa_cli.store.batch import OSM_TYPES
from geojepa_cli.store.csr import span
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.schema import TOKEN

POINT, LINE, OUTER, INNER = range(4)


@dataclass(frozen=True)
class MapObject:
    """The part of an OSM element inside one tile.

    Attributes:
        ref: type and id of the OSM element, such as `way/123`.
        tags: tags of the element, except tags that the tag filter removed when the tiles were made.
        parts: points, lines and rings as pairs (role, vertices). The role is 0 for a point, 1 for a line, 2 for an
            outer ring, and 3 for an inner ring. An outer ring is followed by its inner rings. Vertices are float64
            [n, 2]: distances east and north of the tile's south-west corner, divided by the tile's width on the ground.
        area_m2, length_m: area and length of the geometry inside the tile.
        covers_tile: True for an area that covers the whole tile. Such an area has no `parts`.
        is_token: False for boundaries and restrictions, which models do not see.
    """

    ref: str
    tags: Mapping[str, str]
    parts: tuple[tuple[int, NDArray[np.float64]], ...]
    area_m2: float = 0.0
    length_m: float = 0.0
    covers_tile: bool = False
    is_token: bool = True


@dataclass(frozen=True)
class TileMap:
    """A tile and the OSM elements in the tile.

    Attributes:
        name: name of the tile, such as `16_18052_25957`.
        bounds: (west, south, east, north) in degrees.
        east_m, north_m: width and height of the tile on the ground, in metres.
        objects: parts of OSM elements inside the tile, in the order of the file.
    """

    name: str
    bounds: tuple[float, float, float, float]
    east_m: float
    north_m: float
    objects: tuple[MapObject, ...] = field(default=())


def read_map(region: RegionStore, row: int) -> TileMap:
    """Reads all OSM elements of a tile, also those that models do not see.

    Args:
        region: opened `processed.h5` of the region.
        row: row of the tile in that file.
    """
    tile = TileId(*(int(region[f"tile/{axis}"][row]) for axis in "zxy"))
    first, last = span(region["tile/pieces"], row)
    objects = tuple(read_piece(region, piece) for piece in range(first, last))
    size = float(region["tile/east_m"][row]), float(region["tile/north_m"][row])
    return TileMap(tile.name, tile_bounds(*tile), *size, objects)


def read_piece(region: RegionStore, piece: int) -> MapObject:
    """Reads one row of the table `piece/`: the part of an OSM element inside a tile, with the element's tags."""
    row = int(region["piece/object"][piece])
    parts = []
    for part in range(*span(region["piece/parts"], piece)):
        vertices = region.vertices(*span(region["part/nodes"], part)).astype(np.float64)
        parts.append((int(region["part/role"][part]), vertices))
    return MapObject(
        ref=f"{OSM_TYPES[int(region['object/osm_type'][row])]}/{int(region['object/osm_id'][row])}",
        tags=read_tags(region, row),
        parts=tuple(parts),
        area_m2=float(region["piece/area_m2"][piece]),
        length_m=float(region["piece/length_m"][piece]),
        covers_tile=bool(region["piece/covers_tile"][piece]),
        is_token=int(region["object/token"][row]) == TOKEN["entity"],
    )


def read_tags(region: RegionStore, row: int) -> dict[str, str]:
    """Reads the tags of an OSM element, from a row of the table `object/`."""
    vocab = region["tag/vocab"][slice(*span(region["object/tags"], row))].tolist()
    return {region.keys[entry]: region.values[entry] for entry in vocab}
