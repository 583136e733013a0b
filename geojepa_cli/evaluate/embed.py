"""Embeds all tiles and entities of a region under a view, in chunks, so that a stopped run resumes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli import hints
from geojepa_cli.config.modality import TAGS_ONLY, Needs
from geojepa_cli.console import Meter
from geojepa_cli.errors import DataError
from geojepa_cli.store import csr
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.chunk_file import ChunkFiles
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.embeddings import write_embeddings
from geojepa_cli.store.sampler import TokenBudgetSampler
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

Encode = Callable[[TileBatch], tuple[Tensor, Tensor]]  # -> tiles [B, W], entities [T, D]

EMBEDDINGS = "embeddings.h5"
CHUNKS = "chunks"
# Both decide which tiles share a batch, and so the last bit of a vector: they are part of the stage's version.
CHUNK_TILES = 2048
BATCH_TOKENS = 16_384


def embed_region(
    store: TileStore,
    view: View,
    encode: Encode,
    folder: Path,
    attributes: Mapping[str, str],
    meter: Meter,
    needs: Needs = TAGS_ONLY,
) -> dict[str, int]:
    """Writes `embeddings.h5` into `folder`; whole chunks that an earlier run left there are used.

    Args:
        store: one region.
        view: the tiles to embed, and the tags and pieces that are seen.
        encode: returns the vectors of a batch, on any device.
        folder: the unpublished artifact's.
        attributes: written into the file.
        meter: shows the number of embedded tiles.
        needs: the modalities that `encode` reads.

    Returns:
        Number of tiles and entities, and the width of an entity's vector.

    Raises:
        DataError: the view has no tile, or a vector is not finite.
    """
    if not len(view.tiles):
        names = ", ".join(f"`{region.name}`" for region in store.regions)
        raise DataError(f"no tile of {names} has a number of entities within the filter's limits")
    (folder / CHUNKS).mkdir(exist_ok=True)
    chunks = ChunkFiles(folder / CHUNKS)
    lengths = store.lengths(view)
    for begin in range(0, len(view.tiles), CHUNK_TILES):
        part = slice(begin, begin + CHUNK_TILES)
        if not chunks.take(view.tiles[part]):
            chunks.append(_embed_chunk(store, view, view.tiles[part], lengths[part], encode, needs))
        meter.update(min(begin + CHUNK_TILES, len(view.tiles)))
    write_embeddings(folder / EMBEDDINGS, chunks, attributes)
    width = chunks[0]["entity/vector"].shape[1]
    shutil.rmtree(folder / CHUNKS)
    return {"tiles": len(view.tiles), "entities": int(lengths.sum()), "width": int(width)}


def _embed_chunk(
    store: TileStore, view: View, tiles: Rows, lengths: Rows, encode: Encode, needs: Needs
) -> dict[str, NDArray[Any]]:
    """Returns the columns of consecutive tiles. Batches have tiles of similar length; the order is restored after."""
    order = np.argsort(lengths, kind="stable")
    sampler = TokenBudgetSampler(tiles[order], lengths[order], BATCH_TOKENS, shuffle=False)
    batches = (store.read(view, rows, needs) for rows in sampler.plan(0))
    parts = [_columns(batch, *encode(batch)) for batch in batches]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    entities = csr.children(csr.offsets(lengths[order]), places)
    for name in joined:
        joined[name] = joined[name][places if name.startswith("tile/") else entities]
    joined["entity/osm_version"] = store.piece_versions(joined["entity/piece"])
    joined["entity/tile"] = np.repeat(np.arange(len(tiles), dtype=np.uint32), lengths)
    joined["entity/cu_seqlens"] = csr.offsets(lengths).astype(np.uint64)
    return joined


def _columns(batch: TileBatch, tiles: Tensor, entities: Tensor) -> dict[str, NDArray[Any]]:
    for what, vectors in (("tile", tiles), ("entity", entities)):
        if not bool(torch.isfinite(vectors).all()):
            raise DataError(f"the model gives {what} vectors that are not finite", hints.run("pretrain"))
    zxy = batch.tile_zxy.numpy()
    area, length = batch.area_m2.numpy(), batch.length_m.numpy()
    return {
        "tile/z": zxy[:, 0].astype(np.uint8),
        "tile/x": zxy[:, 1].astype(np.uint32),
        "tile/y": zxy[:, 2].astype(np.uint32),
        "tile/row": batch.tile_rows.numpy().astype(np.uint32),
        "tile/vector": tiles.detach().float().cpu().numpy(),
        "entity/vector": entities.detach().float().cpu().numpy().astype(np.float16),
        "entity/osm_type": batch.osm_type.numpy(),
        "entity/osm_id": batch.osm_id.numpy(),
        "entity/piece": batch.piece_rows.numpy().astype(np.uint64),
        "entity/size": np.where(area > 0, area, length).astype(np.float32),
    }
