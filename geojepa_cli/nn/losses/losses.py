"""Losses: latent prediction and the regularisers that keep it from collapsing. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_over_modalities(values: Tensor, modality: Tensor, weights: Tensor) -> Tensor:
    """Mean within each modality, then the weighted mean of those that are present.

    So 196 image patches count no more than the five entities beside them.

    Args:
        values: one per token. [M]
        modality: int64 [M]
        weights: of the modalities. [modalities]
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
        target: no gradient flows into it. [M, D]
        modality: of each target token. int64 [M]
        weights: of the modalities. [modalities]
        beta: where the loss turns from square to linear.
    """
    per_token = F.smooth_l1_loss(predicted, target.detach(), beta=beta, reduction="none").mean(1)  # [M]
    return mean_over_modalities(per_token, modality, weights)


def tile_prediction_loss(predicted: Tensor, target_tiles: Tensor, lengths: Tensor) -> Tensor:
    """Smooth L1 between predicted and target tile vectors, every dimension of the target standardised over the batch.

    The target is max ‖ mean ‖ mean · log n: the last part tells a tile of five houses from one of fifty.

    Args:
        predicted: [B, 3·D]
        target_tiles: max ‖ mean; no gradient flows into it. [B, 2·D]
        lengths: n, tokens of each tile. int64 [B]
    """
    tiles = target_tiles.detach()
    mean = tiles[:, tiles.shape[1] // 2 :]
    target = torch.cat([tiles, mean * lengths.clamp_min(1).to(tiles.dtype).log()[:, None]], dim=1)
    target = (target - target.mean(dim=0)) / (target.std(dim=0, unbiased=False) + 1e-3)
    return F.smooth_l1_loss(predicted, target)


def variance_loss(x: Tensor, gamma: float = 1.0, eps: float = 1e-4) -> Tensor:
    """Hinge on the standard deviation of each dimension (VICReg, Bardes et al. 2022, eq. 1). [N, D] -> scalar."""
    if len(x) < 2:
        return x.sum() * 0.0
    return F.relu(gamma - (x.var(dim=0) + eps).sqrt()).mean()


def covariance_loss(x: Tensor) -> Tensor:
    """Sum of squared covariances between different dimensions, over D (VICReg, eqs. 3 and 4). [N, D] -> scalar."""
    count, dim = x.shape
    if count < 2:
        return x.sum() * 0.0
    centred = x - x.mean(dim=0)
    covariance = centred.T @ centred / (count - 1)  # [D, D]
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / dim


@dataclass(frozen=True)
class VicReg:
    """The two terms, so that each can be watched."""

    variance: Tensor
    covariance: Tensor


def vicreg(x: Tensor, modality: Tensor, modalities: int) -> VicReg:
    """Variance and covariance terms of each modality's tokens on their own, averaged over those present.

    Pooled over modalities, the distance between modalities alone would satisfy the variance term.

    Args:
        x: tokens. [N, D]
        modality: of each token. int64 [N]
        modalities: how many there are.
    """
    groups = [x] if modalities == 1 else [x[modality == kind] for kind in range(modalities)]
    groups = [group for group in groups if len(group) > 1]
    if not groups:
        nothing = x.sum() * 0.0
        return VicReg(nothing, nothing)
    return VicReg(
        torch.stack([variance_loss(group) for group in groups]).mean(),
        torch.stack([covariance_loss(group) for group in groups]).mean(),
    )
