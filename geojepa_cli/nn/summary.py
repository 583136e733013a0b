"""Summary of a tile: a layer on the pooled vector, from which the tags and keys of the whole tile are predicted."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_SMALLEST_SCALE = 0.1  # of log(1 + count), so that the rarest tags do not dominate


class TileSummary(nn.Module):
    """Layer normalisation, linear layer and GELU.

    Args:
        tile_dim: width P of pooled vectors.
        summary_dim: width S of the summary.
    """

    def __init__(self, tile_dim: int, summary_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(tile_dim)
        self.linear = nn.Linear(tile_dim, summary_dim)

    def forward(self, pooled: Tensor) -> Tensor:
        """Computes the summaries of tiles. [B, P] -> [B, S]."""
        return F.gelu(self.linear(self.norm(pooled)))


class TagPredictor(nn.Module):
    """Linear layer that predicts, for each of C tags and keys, whether a tile has it, and how often.

    Args:
        summary_dim: width S of the summary.
        columns: number of tags and keys C.
    """

    def __init__(self, summary_dim: int, columns: int) -> None:
        super().__init__()
        self.linear = nn.Linear(summary_dim, 2 * columns)

    def forward(self, summary: Tensor) -> Tensor:
        """Predicts the tags and keys of tiles.

        Args:
            summary: summaries of tiles. [B, S]
        Returns:
            For each tag or key: the logit of its presence in columns 0 to C - 1, and log(1 + count) in columns C to
            2·C - 1. [B, 2·C]
        """
        return self.linear(summary)


def tag_prediction_loss(predicted: Tensor, counts: Tensor) -> Tensor:
    """Computes the loss of predicted tags and keys: presence plus counts.

    The loss of presence is the sum of the binary cross-entropies, divided by the number of tags and keys that are
    present. The loss of counts is the smooth L1 loss of log(1 + count), divided by its standard deviation in the batch
    plus 0.1, averaged over tiles and columns.

    Args:
        predicted: output of `TagPredictor`. [B, 2·C]
        counts: number of entities of each tile that have each tag or key. [B, C]
    Returns:
        Scalar tensor.
    """
    logits, logarithms = predicted.chunk(2, dim=1)
    target = counts.log1p()
    present = (counts > 0).to(logits.dtype)
    presence = F.binary_cross_entropy_with_logits(logits, present, reduction="sum") / present.sum().clamp_min(1)
    scale = target.std(dim=0, unbiased=False) + _SMALLEST_SCALE
    return presence + F.smooth_l1_loss(logarithms / scale, target / scale)
