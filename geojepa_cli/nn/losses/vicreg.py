"""VICReg: loss terms that prevent collapse to constant or redundant vectors (Bardes et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.nn.losses.prediction import members

GAMMA = 1.0  # minimum standard deviation
EPS = 1e-4


@dataclass(frozen=True)
class VicRegTerms:
    """The two loss terms of VICReg, as scalar tensors that are not yet multiplied by their weights."""

    variance: Tensor
    covariance: Tensor


def variance_loss(x: Tensor, gamma: float = GAMMA, eps: float = EPS) -> Tensor:
    """Computes the variance term of VICReg, which penalises standard deviations below `gamma` (equation 1).

    Args:
        x: vectors. [N, D]
        gamma: minimum standard deviation. The loss of a dimension with at least this standard deviation is 0.
        eps: constant added to each variance, so that the square root has a finite gradient.
    Returns:
        Scalar tensor.
    """
    if len(x) < 2:
        return x.sum() * 0.0
    return F.relu(gamma - (x.var(dim=0) + eps).sqrt()).mean()


def covariance_loss(x: Tensor) -> Tensor:
    """Computes the covariance term of VICReg (equations 3 and 4).

    The term is the sum of squared covariances between different dimensions, divided by D.

    Args:
        x: vectors. [N, D]
    Returns:
        Scalar tensor.
    """
    count, dim = x.shape
    if count < 2:
        return x.sum() * 0.0
    centred = x - x.mean(dim=0)
    covariance = centred.T @ centred / (count - 1)  # [D, D]
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / dim


def vicreg(x: Tensor, modality: Tensor, modalities: int) -> VicRegTerms:
    """Computes the variance and covariance terms of VICReg for each modality, then averages over the modalities.

    Each modality is regularised separately. Otherwise, the variance between two modalities could be enough to satisfy
    the variance term, even if all vectors of a modality are equal. Modalities with fewer than two tokens are ignored.

    Tokens of other modalities are multiplied by zero instead of removed, so that the shapes of all tensors are known
    without reading values from a GPU.

    Args:
        x: token vectors. [N, D]
        modality: modality id of each token. Ignored if there is only one modality. int64 [N]
        modalities: number of modalities.
    """
    if modalities == 1:
        return VicRegTerms(variance_loss(x), covariance_loss(x))
    member = members(modality, modalities, x.dtype)  # [modalities, N]
    count = member.sum(1)
    mean = (member @ x) / count.clamp_min(1)[:, None]
    usable = (count > 1).to(x.dtype)
    variances, covariances = [], []
    for number in range(modalities):
        centred = (x - mean[number]) * member[number][:, None]
        covariance = centred.T @ centred / (count[number] - 1).clamp_min(1)  # [D, D]
        variance = covariance.diagonal()
        variances.append(F.relu(GAMMA - (variance + EPS).sqrt()).mean())
        covariances.append((covariance.square().sum() - variance.square().sum()) / x.shape[1])
    averaged = usable / usable.sum().clamp_min(1)
    return VicRegTerms((torch.stack(variances) * averaged).sum(), (torch.stack(covariances) * averaged).sum())
