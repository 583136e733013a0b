"""Columns of `embeddings.h5` that name the tiles and entities of the vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.store import csr
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.store import TileStore


def entity_columns(store: TileStore, batch: TileBatch, lengths: Rows) -> dict[str, NDArray[Any]]:
    """Returns the columns of `embeddings.h5` for the tiles of a batch, except the columns with vectors."""
    zxy = batch.tile_zxy.numpy()
    area, length = batch.area_m2.numpy(), batch.length_m.numpy()
    return {
        "tile/z": zxy[:, 0].astype(np.uint8),
        "tile/x": zxy[:, 1].astype(np.uint32),
        "tile/y": zxy[:, 2].astype(np.uint32),
        "tile/row": batch.tile_rows.numpy().astype(np.uint32),
        "entity/osm_type": batch.osm_type.numpy(),
        "entity/osm_id": batch.osm_id.numpy(),
        "entity/osm_version": store.piece_versions(batch.piece_rows.numpy()),
        "entity/piece": batch.piece_rows.numpy().astype(np.uint64),
        "entity/size": np.where(area > 0, area, length).astype(np.float32),
        "entity/tile": np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths),
        "entity/cu_seqlens": csr.offsets(lengths).astype(np.uint64),
    }
