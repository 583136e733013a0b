"""Selects the best scores of each query, chunk by chunk."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def padded(scores: Tensor, k: int) -> Tensor:
    """Appends columns of -inf, so that each query has k scores."""
    return torch.nn.functional.pad(scores, (0, k - scores.shape[1]), value=-torch.inf)


def best_of(best: Tensor, numbers: Tensor, scores: Tensor) -> Tensor:
    """Returns the k best scores of each query [q, k], after more scores were found.

    Args:
        best: the k best scores so far. [q, k]
        numbers: query of each new score, in ascending order. int64 [m]
        scores: new scores. [m]
    """
    if not len(numbers):
        return best
    counts = torch.bincount(numbers, minlength=len(best))
    place = torch.arange(len(numbers)) - (counts.cumsum(0) - counts)[numbers]
    k = best.shape[1]
    found = torch.full((len(best), int(counts.max())), -torch.inf)
    found[numbers, place] = scores
    return torch.cat([best, found], 1).topk(k, dim=1).values


def true_places(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the row and column numbers of the true values of a mask, row by row, like `torch.nonzero`.

    Eight values are read at a time, because hardly any is true.
    """
    flat = mask.contiguous().view(-1).numpy()
    whole = len(flat) - len(flat) % 8
    words = np.flatnonzero(flat[:whole].view(np.int64))
    places = (words[:, None] * 8 + np.arange(8)).ravel()
    places = np.concatenate([places, np.arange(whole, len(flat))])
    rows, columns = np.divmod(places[flat[places]], max(1, mask.shape[1]))
    return torch.from_numpy(rows), torch.from_numpy(columns)
