"""Gram anchoring (DINOv3, Siméoni et al. 2025): keeps the similarities between the tokens of a tile."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.nn.blocks import Blocks


def gram_loss(x: Tensor, reference: Tensor, lengths: Tensor) -> Tensor:
    """Compares the similarities between the tokens of a tile with those that an older encoder computes.

    The cosine similarities between n tokens form an n × n matrix (Gram matrix). The loss of a tile is the mean squared
    difference between the matrices of the two encoders. The result is the mean over all tiles that have tokens. DINOv3
    does the same with images in place of tiles.

    Args:
        x: vectors of the tokens. [N, D]
        reference: vectors of the same tokens, computed by the older encoder. They receive no gradient. [N, D]
        lengths: number of tokens of each tile. int64 [B]
    Returns:
        Scalar tensor.
    """
    unit, reference_unit = F.normalize(x, dim=1), F.normalize(reference.detach(), dim=1)
    losses = []
    for block in Blocks.of(lengths, len(x)):
        rows, reference_rows = block.take(unit), block.take(reference_unit)
        difference = rows @ rows.transpose(1, 2) - reference_rows @ reference_rows.transpose(1, 2)
        squared = difference.square() * block.pairs  # [count, length, length]
        losses.append(squared.sum((1, 2)) / block.valid.sum(1).square())
    return torch.cat(losses).mean() if losses else x.sum() * 0.0
