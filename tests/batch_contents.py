"""Names and tags of the tokens in a batch, from its tensors and the columns of the store."""

from __future__ import annotations

import numpy as np

from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.dataset import Dataset

OSM_TYPES = ("node", "way", "relation")


def tile_names(batch: TileBatch) -> list[str]:
    """Name of every tile, such as `16_18052_25957`."""
    return [f"{z}_{x}_{y}" for z, x, y in batch.tile_zxy.tolist()]


def token_tiles(batch: TileBatch) -> np.ndarray:
    """Tile of every token, as an index into the batch: uint32 [T]."""
    return np.repeat(np.arange(batch.n_tiles, dtype=np.uint32), np.diff(batch.cu_seqlens.numpy()))


def entity_refs(batch: TileBatch) -> list[str]:
    """OSM element of every token, such as `way/123`."""
    elements = zip(batch.osm_type.tolist(), batch.osm_id.tolist(), strict=True)
    return [f"{OSM_TYPES[osm_type]}/{osm_id}" for osm_type, osm_id in elements]


def piece_tags(store: Dataset, piece: int) -> dict[str, str]:
    """All stored tags of the object of a piece; views and task masks are not applied."""
    index = int(np.searchsorted(store.piece_offsets, piece, side="right")) - 1
    region = store.regions[index]
    row = int(region["piece/object"][piece - int(store.piece_offsets[index])])
    first, last = region["object/tags"][row : row + 2].tolist()
    return {region.keys[v]: region.values[v] for v in region["tag/vocab"][first:last].tolist()}
