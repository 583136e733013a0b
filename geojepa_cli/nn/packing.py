"""Packed sequences: the tokens of all sequences of a batch in one tensor, without padding.

`cu_seqlens` has the cumulative sequence lengths, from 0: sequence i has the tokens `cu_seqlens[i]:cu_seqlens[i + 1]`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lengths_of(cu_seqlens: Tensor) -> Tensor:
    """Returns the length of every sequence. [B+1] -> int64 [B]."""
    return cu_seqlens.long().diff()


def cu_from_lengths(lengths: Tensor) -> Tensor:
    """Returns the cumulative sequence lengths, starting with 0. [B] -> int64 [B+1]."""
    return torch.cat([lengths.new_zeros(1, dtype=torch.int64), lengths.long().cumsum(0)])


def segment_ids(cu_seqlens: Tensor) -> Tensor:
    """Returns the sequence index of each token. [B+1] -> int64 [T]."""
    lengths = lengths_of(cu_seqlens)
    return torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)


def ragged_arange(starts: Tensor, lengths: Tensor) -> Tensor:
    """Concatenates `range(start, start + length)` of all sequences. [S], [S] -> int64 [sum(lengths)]."""
    cu = cu_from_lengths(lengths)
    return torch.arange(int(cu[-1]), device=starts.device) + (starts.long() - cu[:-1]).repeat_interleave(lengths)


def count_in_segments(mask: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Counts the tokens of each sequence whose mask is True. [..., T], [B+1] -> int64 [..., B]."""
    total = mask.long().cumsum(-1)
    total = torch.cat([total.new_zeros(*total.shape[:-1], 1), total], dim=-1)
    cu = cu_seqlens.long()
    return total[..., cu[1:]] - total[..., cu[:-1]]


def rank_in_segments(keys: Tensor, segments: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Returns the rank of each token's key within its sequence, 0 for the smallest key.

    Args:
        keys: numbers in [0, 1) to rank by. float64 [..., T]
        segments: sequence index of each token. int64 [T]
        cu_seqlens: cumulative sequence lengths. [B+1]
    Returns:
        Ranks. int64 [..., T]
    """
    order = (keys + segments).argsort(dim=-1)  # in float64, keys keep a precision of 2^-30 even with 2^22 sequences
    position = torch.arange(keys.shape[-1], device=keys.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(-1, order, position)
    return rank - cu_seqlens.long()[segments]


def interleave(*cu_seqlens: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the order that joins several packed tensors: tile 0 of each tensor, then tile 1 of each, and so on.

    Args:
        cu_seqlens: cumulative sequence lengths of each tensor, all with the same number of tiles. [B+1] each
    Returns:
        Indices into the concatenation of the tensors, int64 [T]; cumulative lengths of the joined sequences,
        int64 [B+1].
    """
    lengths = torch.stack([lengths_of(cu) for cu in cu_seqlens], dim=1)  # [B, P]
    sizes = torch.stack([cu.long()[-1] for cu in cu_seqlens])
    base = cu_from_lengths(sizes)[:-1]
    starts = torch.stack([cu.long()[:-1] for cu in cu_seqlens], dim=1) + base
    index = ragged_arange(starts.flatten(), lengths.flatten())
    return index, cu_from_lengths(lengths.sum(1))
