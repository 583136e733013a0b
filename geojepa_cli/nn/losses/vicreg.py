"""VICReg: variance and covariance terms that prevent collapse (Bardes et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class VicRegTerms:
    """Unweighted variance and covariance terms, each a scalar tensor."""

    variance: Tensor
    covariance: Tensor


def variance_loss(x: Tensor, gamma: float = 1.0, eps: float = 1e-4) -> Tensor:
    """Penalises dimensions whose standard deviation is below `gamma` (eq. 1). [N, D] -> scalar."""
    if len(x) < 2:
        return x.sum() * 0.0
    return F.relu(gamma - (x.var(dim=0) + eps).sqrt()).mean()


def covariance_loss(x: Tensor) -> Tensor:
    """Sum of squared covariances between different dimensions, divided by D (eqs. 3 and 4). [N, D] -> scalar."""
    count, dim = x.shape
    if count < 2:
        return x.sum() * 0.0
    centred = x - x.mean(dim=0)
    covariance = centred.T @ centred / (count - 1)  # [D, D]
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / dim


def vicreg(x: Tensor, modality: Tensor, modalities: int) -> VicRegTerms:
    """Computes variance and covariance terms for each modality and averages them over the modalities that are present.

    If all modalities were pooled, the distance between two modalities alone would satisfy the variance term.

    Args:
        x: token vectors. [N, D]
        modality: modality id of each token. int64 [N]
        modalities: number of modalities.
    """
    groups = [x] if modalities == 1 else [x[modality == number] for number in range(modalities)]
    groups = [group for group in groups if len(group) > 1]
    if not groups:
        nothing = x.sum() * 0.0
        return VicRegTerms(nothing, nothing)
    return VicRegTerms(
        torch.stack([variance_loss(group) for group in groups]).mean(),
        torch.stack([covariance_loss(group) for group in groups]).mean(),
    )
