"""Losses of predicted latent vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_over_modalities(values: Tensor, modality: Tensor, weights: Tensor) -> Tensor:
    """Averages within each modality, then takes the weighted mean over the modalities that are present.

    With equal weights, 196 image patches count as much as five entities of the same tile.

    Args:
        values: one value per token. [M]
        modality: modality id of each token. int64 [M]
        weights: weight of each modality. [modalities]
    Returns:
        Scalar tensor.
    """
    ones = torch.ones_like(values)
    count = values.new_zeros(len(weights)).index_add(0, modality, ones)
    total = values.new_zeros(len(weights)).index_add(0, modality, values)
    share = weights.to(values.dtype) * (count > 0)
    return (share * total / count.clamp_min(1)).sum() / share.sum().clamp_min(1e-12)


def prediction_loss(predicted: Tensor, target: Tensor, modality: Tensor, weights: Tensor, beta: float) -> Tensor:
    """Smooth L1 loss between predicted and target vectors, averaged within each modality, then over modalities.

    Args:
        predicted: predicted vectors of the target tokens. [M, D]
        target: vectors of the target encoder. They receive no gradient. [M, D]
        modality: modality id of each target token. int64 [M]
        weights: weight of each modality. [modalities]
        beta: difference at which the loss changes from quadratic to linear.
    Returns:
        Scalar tensor.
    """
    per_token = F.smooth_l1_loss(predicted, target.detach(), beta=beta, reduction="none").mean(1)  # [M]
    return mean_over_modalities(per_token, modality, weights)


def tile_prediction_loss(predicted: Tensor, target_tiles: Tensor, lengths: Tensor) -> Tensor:
    """Smooth L1 loss between predicted and target tile vectors.

    The target is max ‖ mean ‖ mean · log n for a tile of n tokens, with each dimension standardised over the batch. The
    last part distinguishes a tile of five houses from a tile of fifty.

    Args:
        predicted: predicted tile vectors. [B, 3·D]
        target_tiles: tile vectors (max ‖ mean) of the target encoder. They receive no gradient. [B, 2·D]
        lengths: token count n of each tile. int64 [B]
    Returns:
        Scalar tensor.
    """
    tiles = target_tiles.detach()
    mean = tiles[:, tiles.shape[1] // 2 :]
    target = torch.cat([tiles, mean * lengths.clamp_min(1).to(tiles.dtype).log()[:, None]], dim=1)
    target = (target - target.mean(dim=0)) / (target.std(dim=0, unbiased=False) + 1e-3)
    return F.smooth_l1_loss(predicted, target)
