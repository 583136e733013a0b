"""`embeddings.h5` of the synthetic regions, with given vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from batch_contents import token_tiles

from geojepa_cli.store.embeddings import write_embeddings
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.tile_parts import write_parts
from geojepa_cli.store.view import View


def write_synthetic_embeddings(
    path: Path, store: TileStore, view: View, tiles: np.ndarray, entities: np.ndarray, seed: int = 0
) -> Path:
    """Writes the vectors of all tiles and entities of a view, with random sizes of the entities."""
    batch = store.read(view, view.tiles)
    chunk = {
        "tile/row": view.tiles,
        **{f"tile/{axis}": batch.tile_zxy[:, i].numpy() for i, axis in enumerate("zxy")},
        "tile/vector": tiles,
        "entity/vector": entities,
        "entity/tile": token_tiles(batch),
        "entity/osm_type": batch.osm_type.numpy(),
        "entity/osm_id": batch.osm_id.numpy(),
        "entity/osm_version": store.piece_versions(batch.piece_rows.numpy()),
        "entity/piece": batch.piece_rows.numpy(),
        "entity/size": np.random.default_rng(seed).uniform(0, 9, batch.n_tokens),
        "entity/cu_seqlens": batch.cu_seqlens.numpy().astype(np.uint64),
    }
    parts = write_parts((("max", 1), ("mean", tiles.shape[1] - 1)) if tiles.shape[1] > 1 else ())
    source = {"model": "m@1", "region": f"{store.regions[0].name}@1", "tile_parts": parts}
    write_embeddings(path, [chunk], source, tiles.shape[1], entities.shape[1])
    return path
