"""Appends the sketch of a tile's tags to its vector, see `nn.sketch`.

The signs of the projection come from a hash of the tag (feature hashing, Weinberger et al. 2009), so they are the same
on every computer, and no weights are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.models.signs import hashed_signs
from geojepa_cli.nn.sketch import TagSketch
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.tags.frequent import frequent_tags


def tag_sketch(inputs: FrozenInputs, width: int) -> TagSketch | None:
    """Returns the sketch of the frequent tags and keys, on the device of `inputs`. None if the width is 0."""
    if width == 0:
        return None
    return TagSketch(inputs.tag_list.frequent_columns().to(inputs.device), tag_signs(frequent_tags(), width))


def append_sketch(found: BatchVectors, sketch: TagSketch | None, batch: TileBatch) -> BatchVectors:
    """Returns the vectors of a batch with the sketch after each tile vector. [B, W] -> [B, W + S]."""
    if sketch is None:
        return found
    columns = sketch(batch).to(found.tiles.dtype)
    parts = (*found.tile_parts, ("sketch", columns.shape[1])) if found.tile_parts else ()
    return replace(found, tiles=torch.cat([found.tiles, columns], dim=1), tile_parts=parts)


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
    rows = [f"{kind}:{text}" for kind in ("presence", "count") for text in texts]
    return torch.from_numpy(hashed_signs(rows, width))
