"""RankMe: effective rank of a set of vectors, a metric without labels that detects collapsed embeddings."""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-7  # constant added to each normalised singular value, as in the paper


def rankme(vectors: Tensor, eps: float = EPS) -> float:
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
    if not singular.any():
        raise ValueError("all vectors are zero")
    return _from_singular(singular, eps)


def rankme_centred(vectors: Tensor, eps: float = EPS) -> float:
    """Returns the effective rank of vectors after their mean is subtracted. Returns 1 if all vectors are equal.

    The singular values are computed from the smaller of the two Gram matrices, which is many times faster than a
    singular value decomposition. Singular values below 1e-8 of the largest are not exact. They do not change the
    result by more than 0.1 %.

    Args:
        vectors: vectors [n, d], any float type.
        eps: constant added to each normalised singular value, as in the paper.
    """
    x = vectors.detach().to(torch.float64)
    x = x - x.mean(0)
    gram = (x @ x.T if len(x) < x.shape[1] else x.T @ x).cpu()
    singular = torch.linalg.eigvalsh(gram).clamp(min=0.0).sqrt()
    return _from_singular(singular, eps) if bool(singular.any()) else 1.0


def _from_singular(singular: Tensor, eps: float) -> float:
    share = singular / singular.sum() + eps
    return float(torch.exp(-(share * share.log()).sum()))
