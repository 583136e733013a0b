"""Rows that a search leaves out: the query's own tiles and elements, and rows in the same group or too close."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.grid import GROUP_ZOOM, tiles_bounds
from geojepa_cli.search.neighbours import Level
from geojepa_cli.search.query import Example
from geojepa_cli.store.embeddings import Embeddings

Mask = NDArray[np.bool_]
EARTH_RADIUS_KM = 6371.0088  # mean radius of the WGS 84 ellipsoid


def own_rows(vectors: Embeddings, level: Level, examples: Sequence[Example]) -> Mask:
    """Marks the rows of the tiles or elements that the query itself names. bool [n]"""
    found = np.zeros(_rows(vectors, level), np.bool_)
    for one in examples:
        if one.element is not None:
            osm_type, osm_id = one.element
            found |= (vectors["entity/osm_id"] == osm_id) & (vectors["entity/osm_type"] == osm_type)
        elif level == "tile":
            named = {one.tile, *one.tiles} if one.tile is not None else set(one.tiles)
            found[[row for tile in named if (row := vectors.tile_index.get(tile)) is not None]] = True
    return found


def same_group_rows(vectors: Embeddings, level: Level, examples: Sequence[Example]) -> Mask:
    """Marks the rows inside the zoom-14 tile that contains the tile of an example. bool [n]"""
    z, x, y = (vectors[f"tile/{axis}"].astype(np.int64) for axis in "zxy")
    shift = np.maximum(z - GROUP_ZOOM, 0)
    found = np.zeros(vectors.n_tiles, np.bool_)
    for tile in {tile for one in examples for tile in (one.tile, *one.tiles) if tile is not None}:
        own = max(tile.z - GROUP_ZOOM, 0)
        found |= (x >> shift == tile.x >> own) & (y >> shift == tile.y >> own)
    return _of_level(found, vectors, level)


def close_rows(vectors: Embeddings, level: Level, examples: Sequence[Example], least_km: float) -> Mask:
    """Marks the rows whose tile has its centre closer than `least_km` to an example. bool [n]

    Distances are those on a sphere (haversine formula). They differ from those on the ellipsoid by at most 0.6 %.
    """
    bounds = np.radians(tiles_bounds(*(vectors[f"tile/{axis}"] for axis in "zxy")))
    lon, lat = (bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2
    found = np.zeros(vectors.n_tiles, np.bool_)
    for place in {one.lon_lat for one in examples if one.lon_lat is not None}:
        own_lon, own_lat = np.radians(place)
        half = np.sin((lat - own_lat) / 2) ** 2 + np.cos(lat) * np.cos(own_lat) * np.sin((lon - own_lon) / 2) ** 2
        found |= 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(half.clip(0, 1))) < least_km
    return _of_level(found, vectors, level)


def _rows(vectors: Embeddings, level: Level) -> int:
    return vectors.n_tiles if level == "tile" else vectors.n_entities


def _of_level(tiles: Mask, vectors: Embeddings, level: Level) -> Mask:
    return tiles if level == "tile" else np.asarray(tiles[vectors["entity/tile"]])
