"""Tiles and entities of several regions as two numbered lists, for searches that compare all of them with a query."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.grid import TileId, tiles_bounds
from geojepa_cli.search.neighbours import Hit, SearchRegion, element_of_row, find_entity, find_tile
from geojepa_cli.store import csr

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


class Places:
    """The tiles and entities of several regions, numbered from 0 in the order of the regions.

    Attributes:
        regions: the opened regions.
        z, x, y: zoom, column and row of each tile, int64 [N].
        region: index of each tile's region, int64 [N].
        tile_starts, entity_starts: number of tiles, and of entities, in the regions before each one, int64 [R + 1]
    """

    def __init__(self, regions: Sequence[SearchRegion]) -> None:
        self.regions = tuple(regions)
        self.tile_starts = csr.offsets(np.array([one.vectors.n_tiles for one in regions], np.int64))
        self.entity_starts = csr.offsets(np.array([one.vectors.n_entities for one in regions], np.int64))
        self.z, self.x, self.y = (
            np.concatenate([one.vectors[f"tile/{axis}"].astype(np.int64) for one in regions]) for axis in "zxy"
        )
        self.region = csr.parents(self.tile_starts)

    def __len__(self) -> int:
        return len(self.z)

    @property
    def n_entities(self) -> int:
        """Number of entities in all regions."""
        return int(self.entity_starts[-1])

    def tile_id(self, name: str) -> int:
        """Returns the number of a tile, given its name, in the first region that contains it.

        Raises:
            UsageError: `name` is not a tile name.
            NotFoundError: the tile does not exist, or was not embedded.
        """
        hit = find_tile(self.regions, name)
        return int(self.tile_starts[hit.region]) + hit.row

    def entity_id(self, ref: str) -> int:
        """Returns the number of an entity: the largest part of an OSM element such as `way/123`.

        Raises:
            UsageError: `ref` does not have the form `node/ID`, `way/ID` or `relation/ID`.
            NotFoundError: the element does not exist, or was not embedded.
        """
        hit = find_entity(self.regions, ref)
        return int(self.entity_starts[hit.region]) + hit.row

    def tile_hit(self, number: int, score: float = 1.0) -> Hit:
        """Returns a tile, given its number, as region and row in the embeddings of the region."""
        region = int(self.region[number])
        return Hit(region, number - int(self.tile_starts[region]), score)

    def entity_hit(self, number: int, score: float = 1.0) -> Hit:
        """Returns an entity, given its number, as region and row in the embeddings of the region."""
        region = int(np.searchsorted(self.entity_starts, number, side="right")) - 1
        return Hit(region, number - int(self.entity_starts[region]), score)

    def tile(self, number: int) -> TileId:
        """Returns a tile, given its number."""
        return TileId(int(self.z[number]), int(self.x[number]), int(self.y[number]))

    def element(self, number: int) -> tuple[int, int]:
        """Returns type and id of the OSM element of an entity, given the number of the entity."""
        hit = self.entity_hit(number)
        return element_of_row(self.regions[hit.region].vectors, hit.row)

    def number(self, hit: Hit, entity: bool) -> int:
        """Returns the number of a tile or entity, given its region and row."""
        return int((self.entity_starts if entity else self.tile_starts)[hit.region]) + hit.row

    def tile_name(self, number: int) -> str:
        """Returns the name of a tile, given its number."""
        return self.tile(number).name

    def tile_of_entity(self, number: int) -> int:
        """Returns the number of the tile that contains an entity, given the number of the entity."""
        hit = self.entity_hit(number)
        return int(self.tile_starts[hit.region]) + int(self.regions[hit.region].vectors["entity/tile"][hit.row])

    def entities_of_tile(self, number: int) -> range:
        """Returns the numbers of the entities in a tile, given the number of the tile."""
        hit = self.tile_hit(number)
        first, last = csr.span(self.regions[hit.region].vectors["entity/cu_seqlens"], hit.row)
        start = int(self.entity_starts[hit.region])
        return range(start + first, start + last)

    @functools.cached_property
    def entity_offsets(self) -> Ids:
        """The first entity of each tile, and the number of all entities: CSR offsets, int64 [N + 1]."""
        parts = [
            one.vectors["entity/cu_seqlens"][:-1].astype(np.int64) + start
            for one, start in zip(self.regions, self.entity_starts[:-1].tolist(), strict=True)
        ]
        return np.concatenate([*parts, self.entity_starts[-1:]])

    @functools.cached_property
    def squares(self) -> Ids:
        """One number for each tile. Tiles with the same number are one tile in several regions: int64 [N]."""
        return np.asarray(self.z << 56 | self.x << 28 | self.y)

    @functools.cached_property
    def centres(self) -> Floats:
        """The centre of each tile in degrees, longitude first: float64 [N, 2]."""
        bounds = tiles_bounds(self.z, self.x, self.y)
        return np.stack([bounds[:, [0, 2]].mean(1), bounds[:, [1, 3]].mean(1)], 1)
