"""Describes search results: position of a tile or entity, its main tags, and a link to openstreetmap.org."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from geojepa_cli.grid import TileId, from_tile_local, group_of, tile_bounds
from geojepa_cli.search.neighbours import Hit, SearchRegion
from geojepa_cli.search.query import ScoreKind
from geojepa_cli.search.reasons import Comparison
from geojepa_cli.search.tag_counts import ORDER_OF_KEYS, TagStatistics, tags_of_tile
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.tile_map import MapObject, read_piece

MAX_TAGS = 6
OSM = "https://www.openstreetmap.org"


@dataclass(frozen=True)
class EntityRef:
    """An OSM element that is a search result.

    Attributes:
        name: type and id of the element, such as `way/123`.
        version: OSM version of the element; None if the OSM file has no versions.
        record_id: type, id and version in the notation of Overture Maps, such as `w123@7`; None if `version` is None.
        piece: row number, in the table `piece/` of `processed.h5`, of the element's part inside the result's tile.
    """

    name: str
    version: int | None
    record_id: str | None
    piece: int


@dataclass(frozen=True)
class SearchResult:
    """The query of a search, or one of its neighbours.

    Attributes:
        rank: 0 for the query, 1 for its nearest neighbour, and so on.
        score: score of a neighbour; its meaning depends on `score_kind`.
        place: place among all searched tiles or OSM elements, see `Hit`; 0 for the query.
        region, tile, group: names of the region, of the tile, and of the zoom-14 tile that contains the tile.
        entity: OSM element of the result; None in a search for tiles.
        lon, lat: centre of the tile or entity in degrees.
        bounds: bounds of the tile, (west, south, east, north) in degrees.
        ground_m: size of the tile on the ground from west to east and from south to north, in metres.
        entities: number of entities in the tile.
        tags: tags as pairs (`key=value`, count). For a tile: its most distinctive tags, each with the number of the
            tile's entities that have the tag. For an entity: all its tags, each with the count 1.
        url: link to openstreetmap.org.
        tile_row: row number of the tile in the table `tile/` of `processed.h5`.
        reason: tags that the result and the query have in common, and tags that only one has; empty for the query.
        top_percent: `place` in percent of the number of searched tiles or elements, rounded up; 0 for the query.
        score_kind: `cosine` in the search space; `text`: similarity of words and tags; or `blend`: weighted sum of
            both, each standardised over all searched tiles or elements.
        comparison: tags of the result and the query, for the page; None for the query, or if it has no tags.
        part_scores: score of each part of a query with several parts: cosines of vectors, similarities of texts.
    """

    rank: int
    score: float
    region: str
    tile: str
    group: str
    entity: EntityRef | None
    lon: float
    lat: float
    bounds: tuple[float, float, float, float]
    ground_m: tuple[float, float]
    entities: int
    tags: tuple[tuple[str, int], ...]
    url: str
    tile_row: int
    place: int = 0
    reason: str = ""
    top_percent: float = 0.0
    score_kind: ScoreKind = "cosine"
    part_scores: tuple[float, ...] = ()
    comparison: Comparison | None = None

    @property
    def name(self) -> str:
        """Name of the entity; in a search for tiles, name of the tile."""
        return self.entity.name if self.entity else self.tile

    def to_json(self) -> dict[str, Any]:
        """Returns the result as a JSON object.

        Leaves out the name of the zoom-14 tile, and the row numbers that refer to rows of `processed.h5`.
        """
        entity = self.entity
        record = {"osm_version": entity.version, "record_id": entity.record_id} if entity else {}
        return {
            "rank": self.rank,
            **(self._found() if self.rank else {}),
            "region": self.region,
            "tile": self.tile,
            "entity": entity.name if entity else None,
            **record,
            "lon": round(self.lon, 7),
            "lat": round(self.lat, 7),
            "bounds": [round(value, 7) for value in self.bounds],
            "ground_m": [round(value, 1) for value in self.ground_m],
            "entities": self.entities,
            "tags": dict(self.tags) if entity is None else dict(t.split("=", 1) for t, _ in self.tags),
            "url": self.url,
        }

    def _found(self) -> dict[str, Any]:
        parts = {"part_scores": [round(one, 6) for one in self.part_scores]} if self.part_scores else {}
        return {
            "score": round(self.score, 6),
            "score_kind": self.score_kind,
            **parts,
            "place": self.place,
            "top_percent": self.top_percent,
            "reason": self.reason,
        }


def describe_tile(region: SearchRegion, hit: Hit, rank: int, statistics: TagStatistics) -> SearchResult:
    """Returns the description of a tile that a search has found.

    Args:
        region: region of the tile.
        hit: vector of the tile, and its similarity to the query.
        rank: 0 for the query, 1 for its nearest neighbour, and so on.
        statistics: numbers of elements with each tag in the searched regions.
    """
    row = int(region.vectors["tile/row"][hit.row])
    first, last = (int(end) for end in region.vectors["entity/cu_seqlens"][hit.row : hit.row + 2])
    tile = _tile_of(region.store, row)
    west, south, east, north = tile_bounds(*tile)
    lon, lat = (west + east) / 2, (south + north) / 2
    tags = distinctive_tags(tags_of_tile(region, hit.row), statistics)
    url = f"{OSM}/#map={min(19, tile.z + 1)}/{lat:.5f}/{lon:.5f}"
    return _result(region, hit, rank, row, last - first, None, (lon, lat), tags, url)


def point_url(lon: float, lat: float) -> str:
    """Returns a link to a point on openstreetmap.org."""
    return f"{OSM}/?mlat={lat:.5f}&mlon={lon:.5f}#map=18/{lat:.5f}/{lon:.5f}"


def describe_entity(region: SearchRegion, hit: Hit, rank: int) -> SearchResult:
    """Returns the description of an entity that a search has found.

    Args:
        region: region of the entity.
        hit: vector of the entity, and its similarity to the query.
        rank: 0 for the query, 1 for its nearest neighbour, and so on.
    """
    vectors = region.vectors
    tile = int(vectors["entity/tile"][hit.row])
    row = int(vectors["tile/row"][tile])
    first, last = (int(end) for end in vectors["entity/cu_seqlens"][tile : tile + 2])
    version = int(vectors["entity/osm_version"][hit.row]) or None
    piece = int(vectors["entity/piece"][hit.row])
    item = read_piece(region.store, piece)
    order = sorted(item.tags, key=lambda key: (ORDER_OF_KEYS.get(key, len(ORDER_OF_KEYS)), key))
    tags = tuple((f"{key}={item.tags[key]}", 1) for key in order)
    entity = EntityRef(item.ref, version, vectors.record_id(hit.row), piece)
    centre = centre_of(item, _tile_of(region.store, row))
    return _result(region, hit, rank, row, last - first, entity, centre, tags, f"{OSM}/{item.ref}")


def _result(
    region: SearchRegion,
    hit: Hit,
    rank: int,
    row: int,
    entities: int,
    entity: EntityRef | None,
    centre: tuple[float, float],
    tags: tuple[tuple[str, int], ...],
    url: str,
) -> SearchResult:
    store = region.store
    tile = _tile_of(store, row)
    return SearchResult(
        rank=rank,
        score=hit.score,
        region=region.name,
        tile=tile.name,
        group=group_of(tile.x, tile.y, tile.z) if tile.z >= 14 else tile.name,
        entity=entity,
        lon=centre[0],
        lat=centre[1],
        bounds=tile_bounds(*tile),
        ground_m=(float(store["tile/east_m"][row]), float(store["tile/north_m"][row])),
        entities=entities,
        tags=tags,
        url=url,
        tile_row=row,
        place=hit.place,
    )


def _tile_of(store: RegionStore, row: int) -> TileId:
    return TileId(*(int(store[f"tile/{axis}"][row]) for axis in "zxy"))


def centre_of(item: MapObject, tile: TileId) -> tuple[float, float]:
    """Returns the centre (lon, lat), in degrees, of the part of an OSM element that lies inside a tile.

    This is the centre of the part's bounding box, or the centre of the tile if the element covers the whole tile.
    """
    if not item.parts:
        west, south, east, north = tile_bounds(*tile)
        return (west + east) / 2, (south + north) / 2
    vertices = np.concatenate([xy for _, xy in item.parts])
    lon, lat = from_tile_local(tile, (vertices.min(0) + vertices.max(0)) / 2).tolist()
    return lon, lat


def distinctive_tags(tags: Mapping[str, int], statistics: TagStatistics) -> tuple[tuple[str, int], ...]:
    """Returns the tags that are frequent in a tile and rare in all given regions (by tf-idf), with counts."""
    ordered = sorted(tags.items(), key=lambda entry: (-entry[1] * statistics.weight(entry[0]), entry[0]))
    return tuple(ordered[:MAX_TAGS])


def top_percent(place: int, searched: int) -> float:
    """Returns a place in percent of the number of searched tiles or elements, rounded up to two significant digits."""
    share = 100.0 * place / max(1, searched)
    step = 10.0 ** (math.floor(math.log10(share)) - 1)
    return min(100.0, float(f"{math.ceil(share / step - 1e-9) * step:.2g}"))
