"""Converts search results to GeoJSON (RFC 7946). A tile becomes a square; an entity keeps its geometry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.console import printable
from geojepa_cli.grid import Bounds, TileId, from_tile_local, parse_tile, tile_bounds
from geojepa_cli.search.results import SearchResult
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.tile_map import INNER, LINE, OUTER, POINT, MapObject, read_piece

Geometry = dict[str, Any]


def to_geojson(results: Sequence[SearchResult], stores: Sequence[RegionStore]) -> dict[str, Any]:
    """Returns the query and its neighbours as a GeoJSON feature collection.

    Args:
        results: the query, followed by its neighbours.
        stores: for each result, the opened `processed.h5` of its region.
    """
    features = []
    for result, store in zip(results, stores, strict=True):
        tile = parse_tile(result.tile)
        geometry = entity_geometry(read_piece(store, result.entity.piece), tile) if result.entity else _square(tile)
        properties = {key: value for key, value in result.to_json().items() if key not in {"lon", "lat", "bounds"}}
        properties["tags"] = {printable(tag): _printable(value) for tag, value in properties["tags"].items()}
        features.append({"type": "Feature", "id": result.name, "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def entity_geometry(item: MapObject, tile: TileId) -> Geometry:
    """Returns the GeoJSON geometry of the part of an OSM element inside one tile, in degrees with 7 decimals.

    Outer rings are counter-clockwise, inner rings clockwise. Every ring repeats its first position at the end. If no
    geometry is stored, the element covers the whole tile, and the square of the tile is returned.

    Args:
        item: part of the OSM element inside the tile.
        tile: tile that contains this part.
    """
    points, lines, polygons = [], [], []
    for role, xy in item.parts:
        degrees = from_tile_local(tile, xy)
        if role == POINT:
            points.append(_positions(degrees)[0])
        elif role == LINE:
            lines.append(_positions(degrees))
        elif role == OUTER:
            polygons.append([_ring(degrees, clockwise=False)])
        elif role == INNER and polygons:
            polygons[-1].append(_ring(degrees, clockwise=True))
    geometries: list[Geometry] = [
        {"type": f"Multi{kind}", "coordinates": found} if len(found) > 1 else {"type": kind, "coordinates": found[0]}
        for kind, found in (("Point", points), ("LineString", lines), ("Polygon", polygons))
        if found
    ]
    if len(geometries) > 1:
        return {"type": "GeometryCollection", "geometries": geometries}
    return geometries[0] if geometries else _square(tile)


def _square(tile: TileId) -> Geometry:
    bounds: Bounds = tile_bounds(*tile)
    west, south, east, north = (round(value, 7) for value in bounds)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _positions(degrees: NDArray[np.float64]) -> list[list[float]]:
    return [[round(lon, 7), round(lat, 7)] for lon, lat in degrees.tolist()]


def _ring(degrees: NDArray[np.float64], clockwise: bool) -> list[list[float]]:
    x, y = degrees[:, 0] - degrees[0, 0], degrees[:, 1] - degrees[0, 1]
    doubled_area = float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    ring = _positions(degrees[::-1] if (doubled_area < 0) != clockwise else degrees)
    return [*ring, ring[0]]


def _printable(value: str | int) -> str | int:
    return printable(value) if isinstance(value, str) else value
