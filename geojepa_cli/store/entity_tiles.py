"""Selects the tiles of a `tiles.h5` that contain at least one entity."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geojepa_cli.grid import TileId
from geojepa_cli.store.reader import RegionStore


def tiles_with_entities(path: Path, region: str) -> list[TileId]:
    """Returns the tiles of a `tiles.h5` that contain at least one entity, in the order of the file.

    Args:
        path: path of a `tiles.h5`.
        region: name of the region, for messages.

    Raises:
        DataError: the file cannot be read.
    """
    store = RegionStore(path, region)
    return tiles_at(store, rows_with_entities(store))


def rows_with_entities(store: RegionStore) -> list[int]:
    """Returns the rows of the tiles that contain at least one entity, in the order of the file.

    Boundaries, restrictions and areas that cover the whole tile do not count as entities.
    """
    pieces = store["tile/pieces"].astype(np.int64)
    entity = (store["object/token"][store["piece/object"]] == 0) & (store["piece/covers_tile"] == 0)
    before = np.concatenate([[0], np.cumsum(entity, dtype=np.int64)])
    held = before[pieces[1:]] > before[pieces[:-1]]
    return [int(row) for row in np.flatnonzero(held)]


def tiles_at(store: RegionStore, rows: list[int]) -> list[TileId]:
    """Returns the tiles in the given rows of a `tiles.h5`."""
    columns = [store[f"tile/{axis}"][rows].tolist() for axis in "zxy"]
    return [TileId(*zxy) for zxy in zip(*columns, strict=True)]
