"""What is told of an answer: where it lies, its main tags, a link; and the same as GeoJSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.console import printable
from geojepa_cli.grid import TileId, from_tile_local, group_of, parse_tile, tile_bounds
from geojepa_cli.search.query import Hit, SearchRegion
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.tile_map import INNER, LINE, OUTER, POINT, MapObject, read_piece

MAX_TAGS = 6
OSM = "https://www.openstreetmap.org"
# what a thing is; other keys (names, addresses, surfaces) tell little of a place
# fmt: off
MAIN_KEYS = (
    "highway", "building", "landuse", "leisure", "amenity", "natural", "shop", "tourism", "waterway", "railway",
    "aeroway", "man_made", "power", "office", "historic", "craft", "healthcare", "public_transport", "barrier",
    "bridge", "maxspeed", "sport", "cuisine", "crossing", "military", "place", "water",
)
# fmt: on
_FIRST_KEYS = {key: place for place, key in enumerate(MAIN_KEYS)}


@dataclass(frozen=True)
class Place:
    """The query (rank 0) or an answer.

    Attributes:
        rank: 0 for the query, then 1 for the nearest.
        cosine: to the query.
        region, tile, group: where it lies.
        entity: `way/123`, or None for a tile.
        lon, lat: centre, degrees.
        bounds: of the tile, (west, south, east, north).
        ground_m: east and north size of the tile.
        entities: tokens of the tile.
        tags: of a tile (`building=house`, number of entities), most telling first; of an entity all, with 1.
        url: on openstreetmap.org.
        tile_row: in the processed file.
        piece: of the entity, row in the processed file, or None.
    """

    rank: int
    cosine: float
    region: str
    tile: str
    group: str
    entity: str | None
    lon: float
    lat: float
    bounds: tuple[float, float, float, float]
    ground_m: tuple[float, float]
    entities: int
    tags: tuple[tuple[str, int], ...]
    url: str
    tile_row: int
    piece: int | None

    def to_json(self) -> dict[str, Any]:
        """The fields that mean something outside this workspace."""
        return {
            "rank": self.rank,
            "cosine": round(self.cosine, 6),
            "region": self.region,
            "tile": self.tile,
            "entity": self.entity,
            "lon": round(self.lon, 7),
            "lat": round(self.lat, 7),
            "bounds": [round(value, 7) for value in self.bounds],
            "ground_m": [round(value, 1) for value in self.ground_m],
            "entities": self.entities,
            "tags": dict(self.tags) if self.entity is None else dict(t.split("=", 1) for t, _ in self.tags),
            "url": self.url,
        }


def tile_place(region: SearchRegion, hit: Hit, rank: int) -> Place:
    """What is told of a tile row."""
    row = int(region.vectors["tile/row"][hit.row])
    first, last = (int(end) for end in region.vectors["entity/cu_seqlens"][hit.row : hit.row + 2])
    tags = _main_tags(region.store, region.vectors["entity/piece"][first:last].astype(np.int64))
    return _place(region, hit, rank, row, last - first, tags)


def entity_place(region: SearchRegion, hit: Hit, rank: int) -> Place:
    """What is told of an entity row."""
    tile = int(region.vectors["entity/tile"][hit.row])
    first, last = (int(end) for end in region.vectors["entity/cu_seqlens"][tile : tile + 2])
    piece = int(region.vectors["entity/piece"][hit.row])
    item = read_piece(region.store, piece)
    order = sorted(item.tags, key=lambda key: (_FIRST_KEYS.get(key, 99), key))
    tags = tuple((f"{key}={item.tags[key]}", 1) for key in order)
    return _place(region, hit, rank, int(region.vectors["tile/row"][tile]), last - first, tags, item, piece)


def geojson(places: Sequence[Place], regions: Sequence[SearchRegion], hits: Sequence[Hit]) -> dict[str, Any]:
    """The query and its answers as an RFC 7946 feature collection: tiles as squares, entities as their geometry."""
    features = []
    for place, hit in zip(places, hits, strict=True):
        store = regions[hit.region].store
        if place.piece is None:
            geometry = _tile_polygon(place.bounds)
        else:
            geometry = entity_geometry(read_piece(store, place.piece), parse_tile(place.tile))
        told = {key: value for key, value in place.to_json().items() if key not in {"lon", "lat", "bounds"}}
        properties = told | {"tags": {printable(tag): _printable(value) for tag, value in told["tags"].items()}}
        features.append(
            {"type": "Feature", "id": place.entity or place.tile, "geometry": geometry, "properties": properties}
        )
    return {"type": "FeatureCollection", "features": features}


def _printable(value: str | int) -> str | int:
    return printable(value) if isinstance(value, str) else value


def entity_geometry(item: MapObject, tile: TileId) -> dict[str, Any]:
    """GeoJSON geometry of a piece: outer rings counter-clockwise, inner clockwise, rings closed, 7 decimals."""
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
    geometries = [
        {"type": f"Multi{kind}", "coordinates": found} if len(found) > 1 else {"type": kind, "coordinates": found[0]}
        for kind, found in (("Point", points), ("LineString", lines), ("Polygon", polygons))
        if found
    ]
    if len(geometries) == 1:
        return geometries[0]
    return (
        _tile_polygon(tile_bounds(*tile))
        if not geometries
        else {"type": "GeometryCollection", "geometries": geometries}
    )


def _place(
    region: SearchRegion,
    hit: Hit,
    rank: int,
    row: int,
    entities: int,
    tags: tuple[tuple[str, int], ...],
    item: MapObject | None = None,
    piece: int | None = None,
) -> Place:
    store = region.store
    tile = TileId(*(int(store[f"tile/{axis}"][row]) for axis in "zxy"))
    bounds = tile_bounds(*tile)
    lon, lat = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    url = f"{OSM}/#map={min(19, tile.z + 1)}/{lat:.5f}/{lon:.5f}"
    if item is not None and item.parts:
        vertices = np.concatenate([xy for _, xy in item.parts])
        lon, lat = from_tile_local(tile, (vertices.min(0) + vertices.max(0)) / 2).tolist()
    if item is not None:
        url = f"{OSM}/{item.ref}"
    ground = float(store["tile/east_m"][row]), float(store["tile/north_m"][row])
    group = group_of(tile.x, tile.y, tile.z) if tile.z >= 14 else tile.name
    ref = item.ref if item is not None else None
    return Place(
        rank, hit.score, region.name, tile.name, group, ref, lon, lat, bounds, ground, entities, tags, url, row, piece
    )


def _main_tags(store: RegionStore, pieces: NDArray[np.int64]) -> tuple[tuple[str, int], ...]:
    """The tags that set these entities off from the region: frequent here, rare elsewhere (tf-idf)."""
    offsets, vocab = store["object/tags"], store["tag/vocab"]
    counted: Counter[int] = Counter()
    for row in store["piece/object"][pieces].tolist():
        counted.update(vocab[int(offsets[row]) : int(offsets[row + 1])].tolist())
    total = max(1, store.n_objects)
    scored = []
    for entry, count in counted.items():
        key = store.keys[entry]
        if key in _FIRST_KEYS:
            text = f"{key}={store.values[entry]}"
            scored.append((-count * math.log(1 + total / max(1, int(store["vocab/count"][entry]))), text, count))
    return tuple((text, count) for _, text, count in sorted(scored)[:MAX_TAGS])


def _tile_polygon(bounds: tuple[float, float, float, float]) -> dict[str, Any]:
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
