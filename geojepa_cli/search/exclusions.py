"""Rows that a search leaves out: the query's own tiles and elements, and rows in the same group or too close."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.grid import GROUP_ZOOM, tile_of, tiles_bounds
from geojepa_cli.search.neighbours import Level
from geojepa_cli.search.query import Example
from geojepa_cli.store.entity_rows import EntityRows

Mask = NDArray[np.bool_]
EARTH_RADIUS_KM = 6371.0088  # mean radius of the WGS 84 ellipsoid


def own_rows(vectors: EntityRows, level: Level, examples: Sequence[Example]) -> Mask:
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


def same_group_rows(vectors: EntityRows, level: Level, examples: Sequence[Example]) -> Mask:
    """Marks the rows inside the zoom-14 tiles that contain the places of the examples. bool [n]"""
    z, x, y = (vectors[f"tile/{axis}"].astype(np.int64) for axis in "zxy")
    shift = np.maximum(z - GROUP_ZOOM, 0)
    found = np.zeros(vectors.n_tiles, np.bool_)
    for zoom in np.unique(z - shift).tolist():
        for own in {tile_of(lon, lat, zoom) for lon, lat in _places(examples)}:
            found |= (z - shift == zoom) & (x >> shift == own.x) & (y >> shift == own.y)
    return _of_level(found, vectors, level)


def close_rows(vectors: EntityRows, level: Level, examples: Sequence[Example], least_km: float) -> Mask:
    """Marks the rows whose tile has its centre closer than `least_km` to a place of an example. bool [n]

    Distances are those on a sphere (haversine formula). They differ from those on the ellipsoid by at most 0.6 %.
    """
    from sklearn.neighbors import BallTree

    bounds = tiles_bounds(*(vectors[f"tile/{axis}"] for axis in "zxy"))
    centres = np.stack([bounds[:, [1, 3]].mean(1), bounds[:, [0, 2]].mean(1)], 1)
    places = np.array([(lat, lon) for lon, lat in _places(examples)])
    if not len(places) or not len(centres):
        return np.zeros(_rows(vectors, level), np.bool_)
    distance, _ = BallTree(np.radians(places), metric="haversine").query(np.radians(centres), k=1)
    return _of_level(EARTH_RADIUS_KM * distance[:, 0] < least_km, vectors, level)


def _places(examples: Sequence[Example]) -> list[tuple[float, float]]:
    return sorted({place for one in examples for place in one.places})


def _rows(vectors: EntityRows, level: Level) -> int:
    return vectors.n_tiles if level == "tile" else vectors.n_entities


def _of_level(tiles: Mask, vectors: EntityRows, level: Level) -> Mask:
    return tiles if level == "tile" else np.asarray(tiles[vectors["entity/tile"]])
