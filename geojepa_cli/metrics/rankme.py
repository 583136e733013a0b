"""RankMe: the effective rank of a set of vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def rankme(vectors: Tensor, eps: float = 1e-7) -> float:
    """Returns the effective rank: exp of the entropy of the normalised singular values.

    It is 1 for parallel vectors and at most min(n, d). Source: Garrido et al. 2023, "RankMe: Assessing the Downstream
    Performance of Pretrained Self-Supervised Representations by Their Rank", equation 1. As in the paper, vectors are
    not centred.

    Args:
        vectors: vectors [n, d], any float type.
        eps: constant added to each normalised singular value, as in the paper.

    Raises:
        ValueError: `vectors` is not a matrix, is empty, or is all zero.
    """
    if vectors.ndim != 2 or not vectors.numel():
        raise ValueError(f"expected vectors [n, d], got shape {tuple(vectors.shape)}")
    singular = torch.linalg.svdvals(vectors.detach().to(torch.float64))
    total = singular.sum()
    if total == 0:
        raise ValueError("all vectors are zero")
    share = singular / total + eps
    return float(torch.exp(-(share * share.log()).sum()))
