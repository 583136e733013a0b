"""Packed sequences: all tokens of a batch one after the other; `cu_seqlens` holds the start of each sequence."""

from __future__ import annotations

import torch
from torch import Tensor


def lengths_of(cu_seqlens: Tensor) -> Tensor:
    """Returns the length of every sequence. [B+1] -> int64 [B]."""
    return cu_seqlens.long().diff()


def cu_from_lengths(lengths: Tensor) -> Tensor:
    """Returns the starts of the sequences, and the end of the last. [B] -> int64 [B+1]."""
    return torch.cat([lengths.new_zeros(1, dtype=torch.int64), lengths.long().cumsum(0)])


def segment_ids(cu_seqlens: Tensor) -> Tensor:
    """Returns the sequence of each token. [B+1] -> int64 [T]."""
    lengths = lengths_of(cu_seqlens)
    return torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)


def ragged_arange(starts: Tensor, lengths: Tensor) -> Tensor:
    """Returns `start, start + 1, …` of every sequence, one after the other. [S], [S] -> int64 [sum(lengths)]."""
    cu = cu_from_lengths(lengths)
    return torch.arange(int(cu[-1]), device=starts.device) + (starts.long() - cu[:-1]).repeat_interleave(lengths)


def count_in_segments(mask: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Counts the true tokens of each sequence. [..., T], [B+1] -> int64 [..., B]."""
    total = mask.long().cumsum(-1)
    total = torch.cat([total.new_zeros(*total.shape[:-1], 1), total], dim=-1)
    cu = cu_seqlens.long()
    return total[..., cu[1:]] - total[..., cu[:-1]]


def rank_in_segments(keys: Tensor, segments: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Ranks every token by its key among the tokens of its sequence, 0 for the smallest.

    Args:
        keys: numbers in [0, 1). float64 [..., T]
        segments: sequence of each token. int64 [T]
        cu_seqlens: starts of the sequences. [B+1]
    Returns:
        int64 [..., T]
    """
    order = (keys + segments).argsort(dim=-1)  # float64: a key keeps 2^-30 even with 2^22 sequences
    position = torch.arange(keys.shape[-1], device=keys.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(-1, order, position)
    return rank - cu_seqlens.long()[segments]


def interleave(*cu_seqlens: Tensor) -> tuple[Tensor, Tensor]:
    """Joins the parts of every sequence: part 0 of tile 0, part 1 of tile 0, …, part 0 of tile 1, ….

    Args:
        cu_seqlens: starts of the sequences in each part, all with the same number of sequences. [B+1] each
    Returns:
        The index into the parts' concatenation, int64 [T]; the starts of the joined sequences, int64 [B+1].
    """
    lengths = torch.stack([lengths_of(cu) for cu in cu_seqlens], dim=1)  # [B, P]
    sizes = torch.stack([cu.long()[-1] for cu in cu_seqlens])
    base = cu_from_lengths(sizes)[:-1]
    starts = torch.stack([cu.long()[:-1] for cu in cu_seqlens], dim=1) + base
    index = ragged_arange(starts.flatten(), lengths.flatten())
    return index, cu_from_lengths(lengths.sum(1))
