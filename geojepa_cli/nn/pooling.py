"""Pooling of token vectors to one vector per tile."""

from __future__ import annotations

import torch
from torch import Tensor

from geojepa_cli.nn.packing import lengths_of, segment_ids


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
