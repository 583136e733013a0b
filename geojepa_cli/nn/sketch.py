"""Sketch of a tile: a random projection of which tags and keys it has, and how often.

Pooled vectors keep little of tags that are rare in a tile. The sketch keeps them in few values: inner products of
sketches are close to those of the counts (Achlioptas 2003).
"""

from __future__ import annotations

from torch import Tensor

from geojepa_cli.nn.counts import count_tile_tags, presence_and_logarithms
from geojepa_cli.nn.tokens.tokens import TileTensors


class TagSketch:
    """Computes the sketches of tiles.

    Args:
        columns: column of every distinct tag of the dataset, and column of its key; C for none. int64 [2, V]
        signs: signs of the projection, −1 or 1, of the presence of the C tags and keys, then of their counts.
            float32 [2·C, S]
    """

    def __init__(self, columns: Tensor, signs: Tensor) -> None:
        self._columns = columns
        self._size = len(signs) // 2
        self._projection = signs.to(columns.device) / signs.shape[1] ** 0.5

    def __call__(self, batch: TileTensors) -> Tensor:
        """Returns the sketch of each tile: the projection of presence (0 or 1) and log(1 + count). float32 [B, S]"""
        parts = batch.tag_ids, batch.tag_offsets, batch.cu_seqlens
        counts = count_tile_tags(self._columns, *parts, self._size)
        return presence_and_logarithms(counts) @ self._projection
