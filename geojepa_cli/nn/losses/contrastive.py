"""InfoNCE between two sets of vectors, with masks for false negatives (van den Oord et al. 2018).

A false negative is a vector that fits the query as well as the query's own one does: of the same object, of an object
with the same tags, or of a place a few metres away. It is left out of the sum over negatives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce_pairs(queries: Tensor, keys: Tensor, left_out: Tensor, temperature: float) -> Tensor:
    """Computes the InfoNCE loss of pairs. The negatives of a query are the keys of the other pairs.

    The loss of pair i is −log(exp(s_ii / τ) / Σ_k exp(s_ik / τ)), where s_ik is the scalar product of query i and key
    k. The sum is over i itself and over all k that are not left out. Without negatives, the loss is 0.

    Args:
        queries: unit vectors. [Q, E]
        keys: unit vectors of the same pairs. [Q, E]
        left_out: True for each key that is no negative of a query. The diagonal is ignored. bool [Q, Q]
        temperature: temperature τ.
    Returns:
        Loss of each pair. [Q]
    """
    scores = queries @ keys.t() / temperature
    own = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    negatives = scores.masked_fill(left_out & ~own, float("-inf"))
    return negatives.logsumexp(1) - scores.diagonal()


def info_nce_queue(queries: Tensor, own: Tensor, queue: Tensor, left_out: Tensor, temperature: float) -> Tensor:
    """Computes the InfoNCE loss of pairs. The negatives of a query are the entries of a queue.

    Args:
        queries: unit vectors. [Q, E]
        own: unit vector that belongs to each query. [Q, E]
        queue: unit vectors of the queue. [C, E]
        left_out: True for each entry that is no negative of a query, such as an empty slot. bool [Q, C]
        temperature: temperature τ.
    Returns:
        Loss of each pair. It is 0 if all entries are left out. [Q]
    """
    positive = (queries * own).sum(1, keepdim=True) / temperature
    negatives = (queries @ queue.t() / temperature).masked_fill(left_out, float("-inf"))
    return torch.cat([positive, negatives], dim=1).logsumexp(1) - positive.squeeze(1)


def share_first(queries: Tensor, keys: Tensor, left_out: Tensor) -> Tensor:
    """Returns the share of queries whose own key is more similar than all negatives. Scalar.

    The arguments are those of `info_nce_pairs`.
    """
    scores = queries @ keys.t()
    own = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    others = scores.masked_fill(left_out | own, float("-inf"))
    first = scores.diagonal() > torch.cat([others, others.new_full((len(others), 1), float("-inf"))], 1).amax(1)
    return first.float().sum() / max(len(queries), 1)


def unit(x: Tensor) -> Tensor:
    """Scales vectors to length 1, in float32 or better. A vector of zeros stays. [..., D] -> [..., D]"""
    return F.normalize(x if x.dtype == torch.float64 else x.float(), dim=-1)
