"""Regions to search, and the vectors of the tiles and entities in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from geojepa_cli import hints
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.errors import DataError
from geojepa_cli.grid import TileId, parse_tile
from geojepa_cli.search.check import check_entity, check_tile, parse_entity
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.entity_rows import EntityRows
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.reader import RegionStore

Level = Literal["tile", "entity"]
VERIFY = hints.run("artifacts", verify=True)


@dataclass(frozen=True)
class SearchRegion:
    """A region to search.

    Attributes:
        name: name of the region.
        vectors: embeddings of the region's tiles and entities by one model; or rows without vectors, for searches that
            need none.
        store: opened `processed.h5` from which the embeddings were made.
        images: images of the region's tiles; None if the region has no images.
        limits: minimum and maximum number of entities in a tile. Tiles with fewer or more entities are not embedded.
        tags: path of the region's `tags.h5`, the text embeddings of its tags; None if they are not needed.
    """

    name: str
    vectors: EntityRows
    store: RegionStore
    images: ImageStore | None = None
    limits: EntityLimits = DEFAULT_LIMITS
    tags: Path | None = None

    @property
    def embeddings(self) -> Embeddings:
        """The vectors, in a search that needs them."""
        if not isinstance(self.vectors, Embeddings):
            raise TypeError(f"region `{self.name}` was opened without vectors")
        return self.vectors


@dataclass(frozen=True)
class Hit:
    """The query or a result of a search: the vector of one tile or entity.

    Attributes:
        region: index of the region, in the list of regions to search.
        row: row number of the vector in the region's embeddings: in `tile/vector` for a tile, in `entity/vector` for an
            entity.
        score: cosine similarity of the vector to the query's vector, in the search space; or another score (`Blend`).
        place: place among all searched tiles or OSM elements, except those of the query: 1 for the most similar. Those
            that were left out of the results count too, such as tiles close to the query. 0 for the query.
    """

    region: int
    row: int
    score: float = 1.0
    place: int = 0


def find_tile(regions: Sequence[SearchRegion], name: str, option: str = "--tile") -> Hit:
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
    check_tile([region.store for region in regions], name, regions[0].limits, option)
    raise DataError(
        f"tile `{tile.name}` has no vector in these embeddings, although it has enough entities, and not too many",
        VERIFY,
    )


def find_entity(regions: Sequence[SearchRegion], ref: str, option: str = "--entity") -> Hit:
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
    check_entity([region.store for region in regions], ref, regions[0].limits, option)
    raise DataError(f"`{ref}` has no vector, although its tile is embedded", VERIFY)


def tile_of_row(vectors: EntityRows, row: int) -> TileId:
    """Returns the tile in a row of the table `tile/`."""
    return TileId(*(int(vectors[f"tile/{axis}"][row]) for axis in "zxy"))


def element_of_row(vectors: EntityRows, row: int) -> tuple[int, int]:
    """Returns the type and id of the OSM element in a row of the table `entity/`."""
    return int(vectors["entity/osm_type"][row]), int(vectors["entity/osm_id"][row])
