"""Pooling of token vectors to one vector per tile."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from geojepa_cli.nn.packing import lengths_of, segment_ids

TileParts = tuple[tuple[str, int], ...]  # name and width of each part, as in `store/tile_parts.py`


def max_mean(x: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Pools the token vectors of each sequence: concatenates the maximum and the mean of each dimension.

    Source: GeoJEPA thesis, section 7.6.1.

    Args:
        x: packed token vectors. [T, D]
        cu_seqlens: cumulative sequence lengths. [B+1]
    Returns:
        Maximum and mean of each sequence, concatenated. Zeros for an empty sequence. [B, 2·D]
    """
    lengths = lengths_of(cu_seqlens)
    index = segment_ids(cu_seqlens, len(x))[:, None].expand_as(x)
    shape = (len(lengths), x.shape[1])
    largest = x.new_zeros(shape).scatter_reduce(0, index, x, "amax", include_self=False)
    mean = x.new_zeros(shape).scatter_add(0, index, x) / lengths.clamp_min(1)[:, None].to(x.dtype)
    return torch.cat([largest, mean], dim=1)


THIRD_PARTS = {"log_count": "mean_log_n", "sum": "sum"}  # names of the third part of `MaxMean`


class Pooling(nn.Module, ABC):
    """Pools the token vectors of each tile to one vector.

    Attributes:
        width: width W of the pooled vector.
        parts: name and width of each part of the pooled vector, in order.
    """

    width: int
    parts: TileParts

    @abstractmethod
    def forward(self, x: Tensor, cu_seqlens: Tensor) -> Tensor:
        """Pools packed token vectors [T, D] with cumulative lengths [B+1] to one vector per sequence [B, W]."""


class MaxMean(Pooling):
    """Concatenates the maximum and the mean of each dimension and, optionally, a third part.

    The third part is the sum, or the mean · log n. It depends on the number of tokens n, unlike maximum and mean. The
    vector of an empty sequence is zero.

    Args:
        dim: width D of the tokens.
        third: `log_count` for the mean · log n, `sum` for the sum, or None for no third part.
    """

    def __init__(self, dim: int, third: str | None = None) -> None:
        super().__init__()
        names = ("max", "mean") if third is None else ("max", "mean", THIRD_PARTS[third])
        self.parts = tuple((name, dim) for name in names)
        self.width = len(names) * dim
        self.third = third

    def forward(self, x: Tensor, cu_seqlens: Tensor) -> Tensor:
        """Concatenates maximum, mean, and the third part if there is one."""
        pooled = max_mean(x, cu_seqlens)
        if self.third is None:
            return pooled
        count = lengths_of(cu_seqlens).clamp_min(1).to(x.dtype)
        factor = count.log() if self.third == "log_count" else count
        return torch.cat([pooled, pooled[:, x.shape[1] :] * factor[:, None]], dim=1)


class AttentionPooling(Pooling):
    """Weighted mean of projected tokens, with weights from the attention of one trained query.

    Source: pooling by multi-head attention (Lee et al. 2019, section 3.2), with one seed vector (the query). The layers
    that follow the attention are left out.

    Args:
        dim: width D of the tokens and of the result.
        num_heads: number of attention heads. D must be a multiple of it.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.width = dim
        self.parts = (("attention", dim),)
        self.num_heads = num_heads
        self.query = nn.Parameter(torch.zeros(dim))
        nn.init.trunc_normal_(self.query, std=0.02)
        self.key = nn.Linear(dim, dim, bias=False)  # a bias would shift all scores of a head alike
        self.value = nn.Linear(dim, dim)

    def forward(self, x: Tensor, cu_seqlens: Tensor) -> Tensor:
        """Returns the attention output of the query in each sequence. Zeros for an empty sequence."""
        query = self.query.view(self.num_heads, -1)
        keys = self.key(x).float().view(len(x), *query.shape)
        scores = (keys * query).sum(2) / query.shape[1] ** 0.5  # [T, H]
        weights = softmax_in_segments(scores, cu_seqlens)
        values = self.value(x).float().view(keys.shape)
        index = segment_ids(cu_seqlens, len(x))
        pooled = values.new_zeros(len(cu_seqlens) - 1, *values.shape[1:])
        return pooled.index_add(0, index, weights[:, :, None] * values).flatten(1)


def softmax_in_segments(scores: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Computes the softmax over the tokens of each sequence.

    Args:
        scores: packed scores. [T, H]
        cu_seqlens: cumulative sequence lengths. [B+1]
    Returns:
        Weights. In each column, the weights of a sequence add up to 1. [T, H]
    """
    index = segment_ids(cu_seqlens, len(scores))
    shape = (len(cu_seqlens) - 1, scores.shape[1])
    rows = index[:, None].expand_as(scores)
    largest = scores.new_zeros(shape).scatter_reduce(0, rows, scores.detach(), "amax", include_self=False)
    raised = (scores - largest.index_select(0, index)).exp()
    total = scores.new_zeros(shape).scatter_add(0, rows, raised)
    return raised / total.index_select(0, index)


def build_pooling(kind: str, dim: int, num_heads: int) -> Pooling:
    """Returns a pooling by its name in the configuration: `max_mean`, `counts`, `sum` or `attention`.

    Args:
        kind: name of the pooling.
        dim: width D of the tokens.
        num_heads: number of heads of `attention`.
    """
    if kind == "attention":
        return AttentionPooling(dim, num_heads)
    return MaxMean(dim, {"max_mean": None, "counts": "log_count", "sum": "sum"}[kind])
