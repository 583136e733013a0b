"""Builds a batch of tiles from the entities of another batch, for example with exchanged tags."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from geojepa_cli.store import csr
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.csr import Rows

_OF_TOKENS = ("box", "kind", "area_m2", "length_m", "piece_rows", "osm_type", "osm_id", "geometry")


def rearrange(batch: TileBatch, tokens: Rows, lengths: Rows, tiles: Rows, tags_from: Rows | None = None) -> TileBatch:
    """Returns a batch whose tiles are made of entities of another batch.

    Args:
        batch: batch with the entities, read without nodes.
        tokens: for every entity of the result, its index in `batch`, tile by tile, int64 [T].
        lengths: number of entities of every tile of the result, int64 [B].
        tiles: for every tile of the result, the index in `batch` of the tile whose name and image it gets, int64 [B].
        tags_from: for every entity of the result, the index in `batch` of the entity whose tags it gets, int64 [T].
            Default: every entity keeps its tags.

    Raises:
        ValueError: the batch has nodes, or `lengths` do not add up to the number of tokens.
    """
    if batch.node_xy is not None:
        raise ValueError("a batch with nodes cannot be rearranged")
    if int(lengths.sum()) != len(tokens):
        raise ValueError(f"lengths add up to {int(lengths.sum())}, expected {len(tokens)}")
    rows = torch.from_numpy(tokens)
    values: dict[str, Any] = {}
    for name in _OF_TOKENS:
        column = getattr(batch, name)
        values[name] = None if column is None else column[rows]
    first, last = csr.spans(batch.tag_offsets.numpy(), tokens if tags_from is None else tags_from)
    values["tag_ids"] = batch.tag_ids[torch.from_numpy(csr.ranges(first, last))]
    values["tag_offsets"] = torch.from_numpy(csr.offsets(last - first))
    values |= _images(batch, tiles)
    return TileBatch(
        tile_rows=batch.tile_rows[torch.from_numpy(tiles)],
        tile_zxy=batch.tile_zxy[torch.from_numpy(tiles)],
        cu_seqlens=torch.from_numpy(csr.offsets(lengths).astype(np.int32)),
        **values,
    )


def _images(batch: TileBatch, tiles: Rows) -> dict[str, Tensor | None]:
    """Returns the images, or image tokens, of the given tiles, and for each of them the index of its tile."""
    if batch.image_tiles is None:
        return {}
    image_of_tile = np.full(batch.n_tiles, -1, np.int64)
    image_of_tile[batch.image_tiles.numpy()] = np.arange(len(batch.image_tiles))
    images = image_of_tile[tiles]
    shown = np.flatnonzero(images >= 0)
    rows = torch.from_numpy(images[shown])
    return {
        "image_tiles": torch.from_numpy(shown),
        "images": None if batch.images is None else batch.images[rows],
        "image_tokens": None if batch.image_tokens is None else batch.image_tokens[rows],
    }
