"""Prediction losses: differences between predicted vectors and the target encoder's vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def members(modality: Tensor, modalities: int, dtype: torch.dtype) -> Tensor:
    """Returns a matrix with a row per modality and a column per token: 1 if the token is of the modality, otherwise 0.

    Args:
        modality: modality id of each token. int64 [N]
        modalities: number of modalities.
        dtype: data type of the result.
    Returns:
        Ones and zeros. [modalities, N]
    """
    return (modality == torch.arange(modalities, device=modality.device)[:, None]).to(dtype)


def mean_over_modalities(values: Tensor, modality: Tensor, weights: Tensor) -> Tensor:
    """Averages the loss values of tokens within each modality, then computes the weighted mean over the modalities.

    With equal weights, each modality has the same influence, even if a tile has 196 image patches and only five
    entities. A modality without tokens is ignored.

    Args:
        values: loss value of each token. [M]
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


def mean_over_tokens(values: Tensor, modality: Tensor, weights: Tensor) -> Tensor:
    """Computes the weighted mean of the loss values of all tokens. The weight of a token is that of its modality.

    Args:
        values: loss value of each token. [M]
        modality: modality id of each token. int64 [M]
        weights: weight of each modality. [modalities]
    Returns:
        Scalar tensor.
    """
    own = weights.to(values.dtype).index_select(0, modality)
    return (own * values).sum() / own.sum().clamp_min(1e-12)


@torch.no_grad()
def modality_shares(values: Tensor, modality: Tensor, weights: Tensor, by_token: bool = False) -> Tensor:
    """Returns the part of each modality in the result of `mean_over_modalities`. The parts add up to the result.

    The part of a modality without tokens is 0.

    Args:
        values: loss value of each token. [M]
        modality: modality id of each token. int64 [M]
        weights: weight of each modality. [modalities]
        by_token: return the parts of `mean_over_tokens` instead.
    Returns:
        Part of each modality, without gradient. [modalities]
    """
    member = members(modality, len(weights), values.dtype)
    count = member.sum(1)
    if by_token:
        share = weights.to(values.dtype)
        return share * (member @ values) / (share * count).sum().clamp_min(1e-12)
    share = weights.to(values.dtype) * (count > 0)
    return share * (member @ values) / count.clamp_min(1) / share.sum().clamp_min(1e-12)


def smooth_l1(predicted: Tensor, target: Tensor, beta: float) -> Tensor:
    """Computes the smooth L1 loss between predicted and target vectors of hidden tokens.

    Args:
        predicted: predicted vectors of the hidden (target) tokens. [M, D]
        target: vectors of the same tokens, computed by the target encoder. They receive no gradient. [M, D]
        beta: difference at which the loss changes from quadratic to linear.
    Returns:
        Loss of each token, averaged over the dimensions. [M]
    """
    return F.smooth_l1_loss(predicted, target.detach(), beta=beta, reduction="none").mean(1)


def tile_prediction_loss(predicted: Tensor, target_tiles: Tensor, lengths: Tensor) -> Tensor:
    """Computes the smooth L1 loss between predicted and target tile vectors.

    A target vector concatenates three parts: the maximum over the tile's n tokens, their mean, and mean · log n. The
    third part is computed here. It depends on the number of tokens, unlike the others, so it distinguishes a tile with
    five houses from a tile with fifty. Each dimension of the target vectors is standardised over the batch.

    Args:
        predicted: predicted tile vectors. [B, 3·D]
        target_tiles: first two parts of the target vectors, computed by the target encoder: maximum and mean. They
            receive no gradient. [B, 2·D]
        lengths: number of tokens n of each tile. int64 [B]
    Returns:
        Scalar tensor.
    """
    tiles = target_tiles.detach()
    mean = tiles[:, tiles.shape[1] // 2 :]
    target = torch.cat([tiles, mean * lengths.clamp_min(1).to(tiles.dtype).log()[:, None]], dim=1)
    target = (target - target.mean(dim=0)) / (target.std(dim=0, unbiased=False) + 1e-3)
    return F.smooth_l1_loss(predicted, target)
