"""The knob alpha: shifts the vectors of entities from their surroundings to the entities themselves (ADR 24).

A vector with weight alpha is `(1 - alpha) * in_tile + alpha * alone`. `in_tile` is the model's vector of the entity in
its tile. `alone` is the model's vector of the same entity in a tile that contains nothing else.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from geojepa_cli.models.base import BatchVectors, Embedder
from geojepa_cli.nn.packing import segment_ids
from geojepa_cli.store.batch import TileBatch


class AlphaEmbedder:
    """Computes the vectors of entities with a weight alpha. Vectors of tiles are those of the model.

    Args:
        embedder: model.
        alpha: weight of the entity alone, 0 to 1. With 0, the vectors are those of the model.
    """

    def __init__(self, embedder: Embedder, alpha: float) -> None:
        self.name, self.needs = embedder.name, embedder.needs
        self._embedder, self._alpha = embedder, alpha

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, D] and tiles [B, W]."""
        found = self._embedder.encode(batch)
        return replace(found, entities=mix(found.entities, alone_vectors(self._embedder, batch), self._alpha))


def mix(in_tile: Tensor, alone: Tensor, alpha: float) -> Tensor:
    """Returns `(1 - alpha) * in_tile + alpha * alone`. With an alpha of 0 or 1, exactly one of the two. [T, D]"""
    if alpha in (0.0, 1.0):
        return alone if alpha else in_tile
    return (1.0 - alpha) * in_tile + alpha * alone


def alone_vectors(embedder: Embedder, batch: TileBatch) -> Tensor:
    """Returns the vector of every entity of a batch in a tile that contains nothing else. [T, D]"""
    if not batch.n_tokens:
        return embedder.encode(batch).entities
    return embedder.encode(each_alone(batch)).entities


def each_alone(batch: TileBatch) -> TileBatch:
    """Returns a batch with a tile for every entity of a batch. An entity keeps its tags, geometry and position.

    The tiles have the names of the tiles that the entities are from, but no image.
    """
    tiles = segment_ids(batch.cu_seqlens, batch.n_tokens)
    return replace(
        batch,
        tile_rows=batch.tile_rows.index_select(0, tiles),
        tile_zxy=batch.tile_zxy.index_select(0, tiles),
        cu_seqlens=torch.arange(batch.n_tokens + 1, dtype=batch.cu_seqlens.dtype, device=batch.cu_seqlens.device),
        image_tiles=None if batch.image_tiles is None else batch.image_tiles[:0],
        images=None if batch.images is None else batch.images[:0],
        image_tokens=None if batch.image_tokens is None else batch.image_tokens[:0],
    )
