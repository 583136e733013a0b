"""Sketch of a tile: a random projection of which tags and keys it has, and how often.

Pooled vectors do not tell what a tile contains in small numbers. The sketch does, in few values: inner products of
sketches are close to those of the counts (Achlioptas 2003). The signs of the projection come from a hash of the tag
(feature hashing, Weinberger et al. 2009), so they are the same on every computer, and no weights are stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from geojepa_cli.nn.counts import count_tile_tags, presence_and_logarithms
from geojepa_cli.nn.tokens.tokens import TileTensors


class TagSketch:
    """Computes the sketches of tiles.

    Args:
        columns: column of every distinct tag of the dataset, and column of its key; C for none. int64 [2, V]
        texts: the C tags and keys, as `key=value`.
        width: number of values S of a sketch. A multiple of 8.
    """

    def __init__(self, columns: Tensor, texts: Sequence[str], width: int) -> None:
        self._columns = columns
        self._size = len(texts)
        self._signs = tag_signs(texts, width).to(columns.device) / width**0.5

    def __call__(self, batch: TileTensors) -> Tensor:
        """Returns the sketch of each tile: the projection of presence (0 or 1) and log(1 + count). float32 [B, S]"""
        parts = batch.tag_ids, batch.tag_offsets, batch.cu_seqlens
        counts = count_tile_tags(self._columns, *parts, self._size)
        return presence_and_logarithms(counts) @ self._signs


def tag_signs(texts: Sequence[str], width: int) -> Tensor:
    """Returns the signs of the projection, −1 or 1, for the presence of each tag or key, then for its count.

    They are the bits of SHAKE-256 of `presence:` or `count:` and the tag or key, the highest bit of each byte first.

    Args:
        texts: the C tags and keys.
        width: number of signs S of each. A multiple of 8.
    Returns:
        Signs. float32 [2·C, S]
    """
    if width % 8:
        raise ValueError(f"width {width} is not a multiple of 8")
    hashes = [hashlib.shake_256(f"{kind}:{text}".encode()) for kind in ("presence", "count") for text in texts]
    digests = np.frombuffer(b"".join(one.digest(width // 8) for one in hashes), np.uint8)
    return torch.from_numpy(np.unpackbits(digests).reshape(-1, width) * np.float32(2) - 1)
