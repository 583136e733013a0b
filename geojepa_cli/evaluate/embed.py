"""Vectors of all tiles and entities of a region under a view, in chunks, so that a killed run goes on where it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.console import Meter
from geojepa_cli.errors import DataError
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.embeddings import write_embeddings
from geojepa_cli.store.sampler import TokenBudgetSampler
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

Columns = Mapping[str, NDArray[Any]]
Encode = Callable[[TileBatch], tuple[Tensor, Tensor]]  # -> tiles [B, 2D], entities [T, D]

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
    geometry: bool = False,
    images: bool = False,
) -> dict[str, int]:
    """Writes `embeddings.h5` into `folder`; finished chunks that an earlier run left there are taken up.

    Args:
        store: one region.
        view: the tiles to embed and what of them is seen.
        encode: vectors of a batch, on any device.
        folder: of the artifact in the making.
        attributes: written into the file.
        meter: told the tiles done.
        geometry, images: what the model needs of a batch.

    Returns:
        counts of tiles and entities.

    Raises:
        DataError: the view has no tile, or a vector is not finite.
    """
    if not len(view.tiles):
        names = ", ".join(f"`{region.name}`" for region in store.regions)
        raise DataError(f"no tile of {names} has a number of entities within the filter's limits", "geojepa artifacts")
    chunks = folder / CHUNKS
    chunks.mkdir(exist_ok=True)
    lengths = store.lengths(view)
    for number, begin in enumerate(range(0, len(view.tiles), CHUNK_TILES)):
        part = slice(begin, begin + CHUNK_TILES)
        path = _chunk_path(chunks, number)
        if not path.exists():
            columns = _embed_chunk(store, view, view.tiles[part], lengths[part], encode, geometry, images)
            _write_chunk(path, columns)
        meter.update(min(begin + CHUNK_TILES, len(view.tiles)))
    written = ChunkFiles(chunks, number + 1)
    width = written[0]["entity/vector"].shape[1]
    write_embeddings(folder / EMBEDDINGS, written, attributes, width)
    shutil.rmtree(chunks)
    return {"tiles": len(view.tiles), "entities": int(lengths.sum()), "width": int(width)}


class ChunkFiles(Sequence[Columns]):
    """The chunks of a folder, each read when it is asked for."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < self._count:
            raise IndexError(number)
        with np.load(_chunk_path(self._folder, number), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}


def _embed_chunk(
    store: TileStore,
    view: View,
    tiles: NDArray[np.int64],
    lengths: NDArray[np.int64],
    encode: Encode,
    geometry: bool,
    images: bool,
) -> dict[str, NDArray[Any]]:
    """Columns of consecutive tiles. Batches are of tiles of like length; the order of the tiles is put back after."""
    order = np.argsort(lengths, kind="stable")
    sampler = TokenBudgetSampler(tiles[order], lengths[order], BATCH_TOKENS, shuffle=False)
    parts = [
        _columns(batch, *encode(batch))
        for batch in (store.read(view, rows, geometry, images) for rows in sampler.plan(0))
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    starts = np.concatenate([[0], np.cumsum(lengths[order])])
    entities = np.concatenate([np.empty(0, np.int64), *_ranges(starts, places)])
    for name in joined:
        joined[name] = joined[name][places if name.startswith("tile/") else entities]
    joined["entity/tile"] = np.repeat(np.arange(len(tiles), dtype=np.uint32), lengths)
    joined["entity/cu_seqlens"] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint64)
    return joined


def _ranges(starts: NDArray[np.int64], places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for place in places:
        yield np.arange(starts[place], starts[place + 1])


def _columns(batch: TileBatch, tiles: Tensor, entities: Tensor) -> dict[str, NDArray[Any]]:
    for what, vectors in (("tile", tiles), ("entity", entities)):
        if not bool(torch.isfinite(vectors).all()):
            raise DataError(f"the model gives {what} vectors that are not finite", "geojepa pretrain")
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


def _chunk_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.npz"


def _write_chunk(path: Path, columns: Columns) -> None:
    """Written beside and renamed: a chunk that is there is whole."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
