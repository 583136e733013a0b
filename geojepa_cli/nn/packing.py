"""Functions for packed sequences: the tokens of all sequences of a batch, one after the other in one tensor.

Packing needs no padding. `cu_seqlens` [B+1] contains the cumulative lengths of the B sequences, starting with 0. The
tokens of sequence i are the rows `cu_seqlens[i]:cu_seqlens[i + 1]` of the tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lengths_of(cu_seqlens: Tensor) -> Tensor:
    """Converts cumulative sequence lengths to sequence lengths. [B+1] -> int64 [B]."""
    return cu_seqlens.long().diff()


def cu_from_lengths(lengths: Tensor) -> Tensor:
    """Converts sequence lengths to cumulative sequence lengths, starting with 0. [B] -> int64 [B+1]."""
    return torch.cat([lengths.new_zeros(1, dtype=torch.int64), lengths.long().cumsum(0)])


def segment_ids(cu_seqlens: Tensor, tokens: int | None = None) -> Tensor:
    """Returns, for each token, the index of the sequence that it belongs to. [B+1] -> int64 [T].

    Args:
        cu_seqlens: cumulative sequence lengths. [B+1]
        tokens: number of tokens T. None reads the number from `cu_seqlens`, and waits if that tensor is on a GPU.
    """
    cu = cu_seqlens.long()
    total = int(cu[-1]) if tokens is None else tokens
    return torch.searchsorted(cu[1:].contiguous(), torch.arange(total, device=cu.device), right=True)


def ragged_arange(starts: Tensor, lengths: Tensor) -> Tensor:
    """Concatenates S ranges of integers. Range i goes from `starts[i]` to `starts[i] + lengths[i] - 1`.

    [S], [S] -> int64 [sum of lengths]
    """
    cu = cu_from_lengths(lengths)
    return torch.arange(int(cu[-1]), device=starts.device) + (starts.long() - cu[:-1]).repeat_interleave(lengths)


def count_in_segments(mask: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Counts, for each sequence, the tokens for which `mask` is True. [..., T], [B+1] -> int64 [..., B]."""
    total = mask.long().cumsum(-1)
    total = torch.cat([total.new_zeros(*total.shape[:-1], 1), total], dim=-1)
    cu = cu_seqlens.long()
    return total[..., cu[1:]] - total[..., cu[:-1]]


def rank_in_segments(keys: Tensor, segments: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Ranks the tokens of each sequence by their keys. The token with the smallest key has rank 0.

    Args:
        keys: key of each token, a number in [0, 1). float64 [..., T]
        segments: sequence index of each token. int64 [T]
        cu_seqlens: cumulative sequence lengths. [B+1]
    Returns:
        Rank of each token within its sequence. int64 [..., T]
    """
    order = (keys + segments).argsort(dim=-1)  # in float64, keys keep a precision of 2^-30 even with 2^22 sequences
    position = torch.arange(keys.shape[-1], device=keys.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(-1, order, position)
    return rank - cu_seqlens.long()[segments]


def interleave(*cu_seqlens: Tensor) -> tuple[Tensor, Tensor]:
    """Computes how to join several packed tensors sequence by sequence.

    Sequence i of the result has the tokens of sequence i of the first tensor, then of the second tensor, and so on.

    Args:
        cu_seqlens: cumulative sequence lengths of each tensor. All tensors must have B sequences. [B+1] each
    Returns:
        For each token of the result, its index in the concatenation of all tensors. int64 [T]
        Cumulative lengths of the joined sequences. int64 [B+1]
    """
    lengths = torch.stack([lengths_of(cu) for cu in cu_seqlens], dim=1)  # [B, P]
    sizes = torch.stack([cu.long()[-1] for cu in cu_seqlens])
    base = cu_from_lengths(sizes)[:-1]
    starts = torch.stack([cu.long()[:-1] for cu in cu_seqlens], dim=1) + base
    index = ragged_arange(starts.flatten(), lengths.flatten())
    return index, cu_from_lengths(lengths.sum(1))
