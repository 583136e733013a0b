"""Geometry of many pieces at once. A piece is the part of an OSM element inside one tile."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geojepa_cli.grid import from_tiles_local, tiles_bounds
from geojepa_cli.store import csr
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.reader import RegionStore, decode_xy
from geojepa_cli.store.tile_map import INNER, LINE, OUTER, POINT

Geometries = NDArray[Any]  # shapely geometries
DECIMALS = 7  # of degrees, as in OpenStreetMap
_MULTI = (shapely.multipoints, shapely.multilinestrings, shapely.multipolygons)  # by dimension
_NAMES = ("Point", "LineString", "Polygon")


def piece_geometries(region: RegionStore, pieces: Rows, tiles: Rows) -> Geometries:
    """Returns the geometry of pieces in WGS84, with seven decimals.

    Several points, lines or polygons become a multi-geometry, different types a geometry collection. Outer rings are
    counter-clockwise. A piece without stored geometry covers its tile, and gets the square of the tile.

    Args:
        region: opened `processed.h5` of the region.
        pieces: rows of the table `piece/`, int64 [n].
        tiles: zoom, x and y of the tile of each piece, int64 [n, 3].

    Returns:
        Shapely geometries [n].
    """
    first, last = csr.spans(region["piece/parts"], pieces)
    parts, owner = csr.ranges(first, last), np.repeat(np.arange(len(pieces)), last - first)
    role = region["part/role"][parts]
    begin, end = csr.spans(region["part/nodes"], parts)
    begin, end = begin, np.where(role == POINT, begin + 1, end)  # a point has one position
    part = np.repeat(np.arange(len(parts)), end - begin)
    lonlat = _positions(region, csr.ranges(begin, end), tiles[owner[part]])
    found: list[tuple[Geometries, Rows]] = [
        (shapely.points(lonlat[role[part] == POINT]), owner[role == POINT]),
        _lines(lonlat, part, role, owner),
        _polygons(lonlat, part, role, owner),
    ]
    result = shapely.box(*tiles_bounds(*tiles.T).T)
    return _collect(found, result)


def piece_types(region: RegionStore, pieces: Rows) -> set[str]:
    """Returns the names of the geometry types of pieces, such as `MultiPolygon`."""
    first, last = csr.spans(region["piece/parts"], pieces)
    owner = np.repeat(np.arange(len(pieces)), last - first)
    role = region["part/role"][csr.ranges(first, last)]
    counts = np.stack([np.bincount(owner[role == one], minlength=len(pieces)) for one in (POINT, LINE, OUTER)], axis=1)
    kinds = (counts > 0).sum(axis=1)
    names = {f"Multi{name}" for i, name in enumerate(_NAMES) if ((counts[:, i] > 1) & (kinds == 1)).any()}
    names |= {name for i, name in enumerate(_NAMES) if ((counts[:, i] == 1) & (kinds == 1)).any()}
    names |= {"Polygon"} if (kinds == 0).any() else set()
    return names | ({"GeometryCollection"} if (kinds > 1).any() else set())


def piece_centres(region: RegionStore, pieces: Rows, tiles: Rows) -> NDArray[np.float64]:
    """Returns the centre (lon, lat) of the bounding rectangle of pieces in degrees, float64 [n, 2]."""
    return from_tiles_local(tiles[:, 0], tiles[:, 1], tiles[:, 2], decode_xy(region["piece/box_centre"][pieces]))


def _positions(region: RegionStore, nodes: Rows, tiles: Rows) -> NDArray[np.float64]:
    lonlat = from_tiles_local(tiles[:, 0], tiles[:, 1], tiles[:, 2], decode_xy(region["node/xy"][nodes]))
    return np.round(lonlat, DECIMALS)


def _lines(lonlat: NDArray[np.float64], part: Rows, role: Rows, owner: Rows) -> tuple[Geometries, Rows]:
    inside = role[part] == LINE
    return shapely.linestrings(lonlat[inside], indices=_dense(part[inside])), owner[role == LINE]


def _polygons(lonlat: NDArray[np.float64], part: Rows, role: Rows, owner: Rows) -> tuple[Geometries, Rows]:
    """Makes polygons from rings. Each outer ring is followed by its inner rings."""
    area = (role == OUTER) | (role == INNER)
    inside = area[part]
    rings = shapely.linearrings(lonlat[inside], indices=_dense(part[inside]))
    outer = role[area] == OUTER
    rings = np.where(shapely.is_ccw(rings) == outer, rings, shapely.reverse(rings))
    polygon = np.cumsum(outer) - 1
    return shapely.polygons(rings, indices=polygon), owner[role == OUTER]


def _dense(numbers: Rows) -> Rows:
    """Replaces increasing numbers, which may repeat, by 0, 1, 2, …"""
    if not len(numbers):
        return numbers
    return np.concatenate([[0], np.cumsum(numbers[1:] != numbers[:-1])])


def _collect(found: list[tuple[Geometries, Rows]], result: Geometries) -> Geometries:
    """Combines points, lines and polygons of the same owner, and puts them into `result` at the owner's place."""
    shapes, owners = [], []
    for multi, (single, owner) in zip(_MULTI, found, strict=True):
        if not len(single):
            continue
        places, counts = np.unique(owner, return_counts=True)
        several = multi(single, indices=_dense(owner))
        ends = np.cumsum(counts) - counts
        shapes.append(np.where(counts == 1, single[ends], several))
        owners.append(places)
    if not shapes:
        return result
    shape, owner = np.concatenate(shapes), np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    shape, owner = shape[order], owner[order]
    places, starts, counts = np.unique(owner, return_index=True, return_counts=True)
    result[places[counts == 1]] = shape[starts[counts == 1]]
    mixed = np.isin(owner, places[counts > 1])
    if mixed.any():
        result[places[counts > 1]] = shapely.geometrycollections(shape[mixed], indices=_dense(owner[mixed]))
    return result
