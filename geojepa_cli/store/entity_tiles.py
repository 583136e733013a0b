"""Selects the tiles of a `tiles.h5` that contain at least one entity."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geojepa_cli.grid import TileId
from geojepa_cli.store.reader import RegionStore


def tiles_with_entities(path: Path, region: str) -> list[TileId]:
    """Returns the tiles of a `tiles.h5` that contain at least one entity, in the order of the file.

    Boundaries, restrictions and areas that cover the whole tile do not count as entities.

    Args:
        path: path of a `tiles.h5`.
        region: name of the region, for messages.

    Raises:
        DataError: the file cannot be read.
    """
    store = RegionStore(path, region)
    columns = [store[f"tile/{axis}"].tolist() for axis in "zxy"]
    pieces = store["tile/pieces"].astype(np.int64)
    entity = (store["object/token"][store["piece/object"]] == 0) & (store["piece/covers_tile"] == 0)
    before = np.concatenate([[0], np.cumsum(entity, dtype=np.int64)])
    held = before[pieces[1:]] > before[pieces[:-1]]
    return [TileId(*zxy) for zxy, kept in zip(zip(*columns, strict=True), held.tolist(), strict=True) if kept]
