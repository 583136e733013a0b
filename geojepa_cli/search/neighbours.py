"""Exact search for the tiles or entities that are most similar to a query, in one or several regions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.errors import DataError
from geojepa_cli.grid import GROUP_ZOOM, TileId, parse_tile
from geojepa_cli.metrics.knn import nearest
from geojepa_cli.search.check import check_entity, check_tile, parse_entity
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.reader import RegionStore

Mask = NDArray[np.bool_]
VERIFY = hints.run("artifacts", verify=True)


@dataclass(frozen=True)
class SearchRegion:
    """A region to search.

    Attributes:
        name: name of the region.
        vectors: embeddings of the region's tiles and entities by one model.
        store: opened `processed.h5` from which the embeddings were made.
        images: images of the region's tiles; None if the region has no images.
        limits: minimum and maximum number of entities in a tile. Tiles with fewer or more entities are not embedded.
    """

    name: str
    vectors: Embeddings
    store: RegionStore
    images: ImageStore | None = None
    limits: EntityLimits = DEFAULT_LIMITS


@dataclass(frozen=True)
class Hit:
    """The query or a result of a search: the vector of one tile or entity.

    Attributes:
        region: index of the region, in the list of regions to search.
        row: row number of the vector in the region's embeddings: in `tile/vector` for a tile, in `entity/vector` for an
            entity.
        score: cosine similarity of the vector to the query's vector; 1 for the query itself.
    """

    region: int
    row: int
    score: float = 1.0


def find_tile(regions: Sequence[SearchRegion], name: str) -> Hit:
    """Finds the vector of a tile, in the first region that contains the tile.

    Raises:
        UsageError: `name` is not a tile name.
        NotFoundError: the tile does not exist, or was not embedded. The message names the nearest tile, or states why
            the tile was not embedded.
        DataError: the tile should have been embedded, but has no vector.
    """
    tile = parse_tile(name)
    for index, region in enumerate(regions):
        row = region.vectors.tile_index.get(tile)
        if row is not None:
            return Hit(index, row)
    check_tile([region.store for region in regions], name, regions[0].limits)
    raise DataError(
        f"tile `{tile.name}` has no vector in these embeddings, although it has enough entities, and not too many",
        VERIFY,
    )


def find_entity(regions: Sequence[SearchRegion], ref: str) -> Hit:
    """Finds the vector of an OSM element, in the first region that contains the element.

    An element that lies in several tiles has a vector for its part in each tile. The vector of the largest part is
    returned. The size of a part is its area, or its length if it has no area.

    Raises:
        UsageError: `ref` does not have the form `node/ID`, `way/ID` or `relation/ID`.
        NotFoundError: the element does not exist, or was not embedded. In the first case, the message names an embedded
            element with the same or the nearest id. In the second case, the message states why the element was not
            embedded.
        DataError: the element should have been embedded, but has no vector.
    """
    osm_type, osm_id = parse_entity(ref)
    for index, region in enumerate(regions):
        rows = region.vectors.rows_of_entity(osm_type, osm_id)
        if len(rows):
            return Hit(index, int(rows[np.argmax(region.vectors["entity/size"][rows])]))
    check_entity([region.store for region in regions], ref, regions[0].limits)
    raise DataError(f"`{ref}` has no vector, although its tile is embedded", VERIFY)


def nearest_tiles(regions: Sequence[SearchRegion], query: Hit, k: int, exclude_group: bool = False) -> list[Hit]:
    """Returns the k tiles that are most similar to the query tile. A tile that lies in two regions is returned once.

    Args:
        regions: regions to search.
        query: query tile, as returned by `find_tile`. The query tile is not among the results.
        k: maximum number of results.
        exclude_group: True to leave out all tiles inside the zoom-14 tile that contains the query tile. Such tiles are
            often similar only because they are close.
    """
    home = regions[query.region].vectors
    own = _tile(home, query.row)

    def excluded(region: SearchRegion) -> Mask:
        z, x, y = (region.vectors[f"tile/{axis}"].astype(np.int64) for axis in "zxy")
        if exclude_group:
            shift, own_shift = np.maximum(z - GROUP_ZOOM, 0), max(own.z - GROUP_ZOOM, 0)
            return np.asarray((x >> shift == own.x >> own_shift) & (y >> shift == own.y >> own_shift))
        return np.asarray((z == own.z) & (x == own.x) & (y == own.y))

    return _search(regions, query, "tile/vector", k, excluded, lambda vectors, row: _tile(vectors, row))


def nearest_entities(regions: Sequence[SearchRegion], query: Hit, k: int, exclude_group: bool = False) -> list[Hit]:
    """Returns the k OSM elements that are most similar to the query entity.

    An element that lies in several tiles has a vector for its part in each tile. The most similar part decides the rank
    of the element. If several parts are equally similar, the largest of them is returned.

    Args:
        regions: regions to search.
        query: query entity, as returned by `find_entity`. The OSM element of the query is not among the results.
        k: maximum number of results.
        exclude_group: True to leave out all entities inside the zoom-14 tile that contains the query entity.
    """
    home = regions[query.region].vectors
    own = _element(home, query.row)
    tile = _tile(home, int(home["entity/tile"][query.row]))

    def excluded(region: SearchRegion) -> Mask:
        vectors = region.vectors
        mask = (vectors["entity/osm_id"] == own[1]) & (vectors["entity/osm_type"] == own[0])
        if exclude_group:
            shift = max(tile.z - GROUP_ZOOM, 0)
            x, y = (vectors[f"tile/{axis}"].astype(np.int64) >> shift for axis in "xy")
            mask = mask | ((x == tile.x >> shift) & (y == tile.y >> shift))[vectors["entity/tile"]]
        return np.asarray(mask)

    found = _search(regions, query, "entity/vector", k, excluded, _element)
    masks = [excluded(region) for region in regions]
    return [_largest_of_equals(regions, query, hit, masks[hit.region]) for hit in found]


def _search(
    regions: Sequence[SearchRegion],
    query: Hit,
    column: str,
    k: int,
    excluded: Callable[[SearchRegion], Mask],
    identity: Callable[[Embeddings, int], object],
) -> list[Hit]:
    """Returns the k tiles or OSM elements of all regions that are most similar to the query, without duplicates.

    In each region, the 2 · k vectors most similar to the query are searched first. They can belong to fewer than k
    tiles or elements, because several vectors can belong to the same tile or element. In this case, the region is
    searched again for four times as many vectors as before. This is repeated until the vectors found belong to at least
    k distinct tiles or elements, or until the region has no more vectors.

    Args:
        regions: regions to search.
        query: query tile or query entity.
        column: name of the column of vectors: `tile/vector` or `entity/vector`.
        k: maximum number of results.
        excluded: function that takes a region and returns a bool array with one value for each vector of the region:
            True if the vector must not be among the results.
        identity: function that returns the tile or the OSM element to which a vector belongs.
    """
    vector = torch.from_numpy(np.array(regions[query.region].vectors[column][query.row : query.row + 1]))
    found: list[Hit] = []
    for index, region in enumerate(regions):
        mask = torch.from_numpy(excluded(region))
        available, wanted = int((~mask).sum()), 2 * k
        while available:
            scores, rows = nearest(vector, _tensor(region.vectors[column]), wanted, "cosine", mask)
            pairs = list(zip(rows[0].tolist(), scores[0].tolist(), strict=True))
            if wanted >= available or len({identity(region.vectors, row) for row, _ in pairs}) >= k:
                found.extend(Hit(index, row, score) for row, score in pairs)
                break
            wanted *= 4
    distinct: dict[object, Hit] = {}
    for hit in sorted(found, key=lambda hit: (-hit.score, hit.region, hit.row)):
        distinct.setdefault(identity(regions[hit.region].vectors, hit.row), hit)
    return list(distinct.values())[:k]


def _largest_of_equals(regions: Sequence[SearchRegion], query: Hit, hit: Hit, excluded: Mask) -> Hit:
    """Returns the vector that represents an OSM element in the results of a search.

    An element has one vector for its part in each tile. The vector most similar to the query represents the element. If
    several parts are equally similar to the query, returns the vector of the largest of these parts, because it is the
    easiest to see on a map.
    """
    vectors = regions[hit.region].vectors
    rows = vectors.rows_of_entity(*_element(vectors, hit.row))
    rows = rows[~excluded[rows]]
    if len(rows) == 1:
        return hit
    vector = torch.from_numpy(np.array(regions[query.region].vectors["entity/vector"][query.row : query.row + 1]))
    scores, order = nearest(vector, torch.from_numpy(np.array(vectors["entity/vector"][rows])), len(rows))
    equals = rows[order[0][scores[0] == scores[0, 0]].numpy()]
    return Hit(hit.region, int(equals[np.argmax(vectors["entity/size"][equals])]), hit.score)


def _tensor(column: NDArray[np.generic]) -> torch.Tensor:
    with warnings.catch_warnings():  # torch warns that the memory-mapped file is read-only; the tensor is never written
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(column)


def _tile(vectors: Embeddings, row: int) -> TileId:
    return TileId(*(int(vectors[f"tile/{axis}"][row]) for axis in "zxy"))


def _element(vectors: Embeddings, row: int) -> tuple[int, int]:
    return int(vectors["entity/osm_type"][row]), int(vectors["entity/osm_id"][row])
