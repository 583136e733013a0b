"""Latent prediction losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_over_modalities(values: Tensor, modality: Tensor, weights: Tensor) -> Tensor:
    """Averages within each modality, then takes the weighted mean of the modalities that are present.

    So 196 image patches count as much as the five entities of the same tile.

    Args:
        values: one per token. [M]
        modality: number of each token's modality. int64 [M]
        weights: of the modalities. [modalities]
    Returns:
        A scalar.
    """
    ones = torch.ones_like(values)
    count = values.new_zeros(len(weights)).index_add(0, modality, ones)
    total = values.new_zeros(len(weights)).index_add(0, modality, values)
    share = weights.to(values.dtype) * (count > 0)
    return (share * total / count.clamp_min(1)).sum() / share.sum().clamp_min(1e-12)


def prediction_loss(predicted: Tensor, target: Tensor, modality: Tensor, weights: Tensor, beta: float) -> Tensor:
    """Smooth L1 between predicted and target vectors, averaged within a modality, then over modalities.

    Args:
        predicted: [M, D]
        target: receives no gradient. [M, D]
        modality: number of each target token's modality. int64 [M]
        weights: of the modalities. [modalities]
        beta: difference at which the loss turns from quadratic to linear.
    Returns:
        A scalar.
    """
    per_token = F.smooth_l1_loss(predicted, target.detach(), beta=beta, reduction="none").mean(1)  # [M]
    return mean_over_modalities(per_token, modality, weights)


def tile_prediction_loss(predicted: Tensor, target_tiles: Tensor, lengths: Tensor) -> Tensor:
    """Smooth L1 between predicted and target tile vectors.

    The target is max ‖ mean ‖ mean · log n, each dimension standardised over the batch. Its last part differs between
    a tile of five houses and one of fifty.

    Args:
        predicted: [B, 3·D]
        target_tiles: max ‖ mean; receives no gradient. [B, 2·D]
        lengths: number n of tokens of each tile. int64 [B]
    Returns:
        A scalar.
    """
    tiles = target_tiles.detach()
    mean = tiles[:, tiles.shape[1] // 2 :]
    target = torch.cat([tiles, mean * lengths.clamp_min(1).to(tiles.dtype).log()[:, None]], dim=1)
    target = (target - target.mean(dim=0)) / (target.std(dim=0, unbiased=False) + 1e-3)
    return F.smooth_l1_loss(predicted, target)
