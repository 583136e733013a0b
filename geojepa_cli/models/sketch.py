"""Appends the sketch of a tile's tags to its vector, see `nn.sketch`."""

from __future__ import annotations

from dataclasses import replace

import torch

from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.nn.sketch import TagSketch
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.tags.frequent import frequent_tags


def tag_sketch(inputs: FrozenInputs, width: int) -> TagSketch | None:
    """Returns the sketch of the frequent tags and keys, on the device of `inputs`. None if the width is 0."""
    if width == 0:
        return None
    return TagSketch(inputs.tag_list.frequent_columns().to(inputs.device), frequent_tags(), width)


def append_sketch(found: BatchVectors, sketch: TagSketch | None, batch: TileBatch) -> BatchVectors:
    """Returns the vectors of a batch with the sketch after each tile vector. [B, W] -> [B, W + S]."""
    if sketch is None:
        return found
    return replace(found, tiles=torch.cat([found.tiles, sketch(batch).to(found.tiles.dtype)], dim=1))
