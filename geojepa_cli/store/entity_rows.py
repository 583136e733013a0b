"""Tiles of a region and the entities in them, as rows of columns: with vectors in `embeddings.h5`, or without."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Mapping

import numpy as np

from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import nearest, wrong_argument
from geojepa_cli.store import csr
from geojepa_cli.store.batch import OSM_TYPES
from geojepa_cli.store.columns import Array
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.view import piece_reasons

# Type of each column. There are n tiles and m entities, in the order of `processed.h5`.
COLUMNS: dict[str, str] = {
    "tile/z": "<u1",
    "tile/x": "<u4",
    "tile/y": "<u4",
    "tile/row": "<u4",  # row of the tile in processed.h5
    "tile/vector": "<f4",  # [n, W]; for models that pool: maximum, then mean, of the tile's entities, W = 2D
    "entity/vector": "<f2",  # [m, D]
    "entity/tile": "<u4",  # row of `tile/` in this file
    "entity/osm_type": "<u1",
    "entity/osm_id": "<i8",
    "entity/osm_version": "<u4",  # 0 if the OSM file has no versions
    "entity/piece": "<u8",  # row of the piece in processed.h5
    "entity/size": "<f4",  # m² of areas, m of lines, 0 of points
    "entity/cu_seqlens": "<u8",  # [n + 1], CSR offsets of the entities of every tile
}


class EntityRows:
    """Columns of tiles and entities. They are read-only arrays, such as `rows["entity/piece"]`.

    Attributes:
        n_tiles, n_entities: number of tiles and of entities. An entity is the part of an OSM element in one tile.
    """

    def __init__(self, columns: Mapping[str, Array]) -> None:
        """Takes columns with names in `COLUMNS`. Those with vectors may be missing."""
        self._columns = columns
        self.n_tiles, self.n_entities = len(columns["tile/row"]), len(columns["entity/tile"])

    def __getitem__(self, column: str) -> Array:
        """Returns a column by its name `table/name`, as a read-only array.

        Raises:
            UsageError: there is no such column. The message lists the columns.
        """
        if not isinstance(column, str) or column not in self._columns:
            close = nearest(column, self._names()) if isinstance(column, str) else None
            expected = f"a column ({', '.join(f'`{name}`' for name in self._names())})"
            raise wrong_argument("column", column, expected, f'"{close or "tile/vector"}"')
        return self._columns[column]

    def _names(self) -> list[str]:
        """Names of the columns."""
        return list(COLUMNS)

    @functools.cached_property
    def tile_index(self) -> dict[tuple[int, int, int], int]:
        """Dict from the (zoom, x, y) of each tile to the row of the tile in this file."""
        keys = zip(self["tile/z"].tolist(), self["tile/x"].tolist(), self["tile/y"].tolist(), strict=True)
        return {key: row for row, key in enumerate(keys)}

    def tile_name(self, row: int) -> str:
        """Returns the name of the tile in a row of the table `tile/`, such as `16_18052_25957`.

        Raises:
            UsageError: there is no such row.
        """
        row = _check_row(row, self.n_tiles)
        return f"{self['tile/z'][row]}_{self['tile/x'][row]}_{self['tile/y'][row]}"

    def entity_ref(self, row: int) -> str:
        """Returns the type and id of the OSM element in a row of `entity/`, such as `way/123`.

        Raises:
            UsageError: there is no such row.
        """
        row = _check_row(row, self.n_entities)
        return f"{OSM_TYPES[int(self['entity/osm_type'][row])]}/{self['entity/osm_id'][row]}"

    def record_id(self, row: int) -> str | None:
        """Returns type, id and version of the OSM element in a row of `entity/`, such as `w123@7`.

        This is the notation of Overture Maps. Returns None if the OSM file has no versions.

        Raises:
            UsageError: there is no such row.
        """
        row = _check_row(row, self.n_entities)
        osm_type, osm_id, version = (int(self[f"entity/osm_{part}"][row]) for part in ("type", "id", "version"))
        return f"{OSM_TYPES[osm_type][0]}{osm_id}@{version}" if version else None

    def rows_of_entity(self, osm_type: int, osm_id: int) -> Rows:
        """Returns the rows of an OSM element in `entity/`, one for each tile that contains a part of it: int64."""
        return np.flatnonzero((self["entity/osm_id"] == osm_id) & (self["entity/osm_type"] == osm_type))


def rows_of_region(store: RegionStore, limits: EntityLimits) -> EntityRows:
    """Returns the tiles of a region whose number of entities is within limits, without vectors.

    They have the order and the columns of `embeddings.h5`.

    Args:
        store: opened `processed.h5`.
        limits: minimum and maximum number of entities in a tile.
    """
    is_entity = piece_reasons(store) == 0
    ends = store["tile/pieces"].astype(np.int64)
    lengths = np.diff(csr.offsets(is_entity)[ends])
    tiles = np.flatnonzero((lengths >= limits.low) & (lengths <= limits.high))
    pieces = csr.children(ends, tiles)
    pieces = pieces[is_entity[pieces]]
    objects = store["piece/object"][pieces].astype(np.int64)
    area, length = store["piece/area_m2"][pieces], store["piece/length_m"][pieces]
    return EntityRows(
        {
            **{f"tile/{axis}": store[f"tile/{axis}"][tiles] for axis in "zxy"},
            "tile/row": tiles.astype(np.uint32),
            **{f"entity/{name}": store[f"object/{name}"][objects] for name in ("osm_type", "osm_id")},
            "entity/osm_version": store["object/version"][objects],
            "entity/piece": pieces.astype(np.uint64),
            "entity/size": np.where(area > 0, area, length).astype(np.float32),
            "entity/tile": np.repeat(np.arange(len(tiles), dtype=np.uint32), lengths[tiles]),
            "entity/cu_seqlens": csr.offsets(lengths[tiles]).astype(np.uint64),
        }
    )


def _check_row(row: object, rows: int) -> int:
    if isinstance(row, bool) or not isinstance(row, numbers.Integral) or not 0 <= int(row) < rows:
        raise wrong_argument(
            "row", row, f"an integer, 0 to {rows - 1:,}" if rows else "no row (the table is empty)", "0"
        )
    return int(row)
