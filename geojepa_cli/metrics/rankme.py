"""RankMe: effective rank of a set of vectors, a metric without labels that detects collapsed embeddings."""

from __future__ import annotations

import torch
from torch import Tensor


def rankme(vectors: Tensor, eps: float = 1e-7) -> float:
    """Returns the effective rank of vectors: the exponential of the entropy of their normalised singular values.

    The effective rank is 1 for parallel vectors and at most min(n, d). Source: Garrido et al. 2023, "RankMe: Assessing
    the Downstream Performance of Pretrained Self-Supervised Representations by Their Rank", equation 1. As in the
    paper, the mean of the vectors is not subtracted.

    Args:
        vectors: vectors [n, d], any float type.
        eps: constant added to each normalised singular value, as in the paper.

    Raises:
        ValueError: `vectors` is not a matrix, is empty, or has only zeros.
    """
    if vectors.ndim != 2 or not vectors.numel():
        raise ValueError(f"expected vectors [n, d], got shape {tuple(vectors.shape)}")
    singular = torch.linalg.svdvals(vectors.detach().to(torch.float64))
    total = singular.sum()
    if total == 0:
        raise ValueError("all vectors are zero")
    share = singular / total + eps
    return float(torch.exp(-(share * share.log()).sum()))
