"""Self-attention on packed sequences of different lengths, with little padding.

Sequences are divided into groups of similar length. The sequences of a group are padded to the same length, and scaled
dot-product attention runs once per group. On CUDA in half precision, PyTorch's attention kernel for sequences of
different lengths is used instead. Both methods compute the same result as a loop over the sequences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.nn.packing import cu_from_lengths, lengths_of, segment_ids

# Minimum length of the shortest sequence in a group, divided by the length of the longest sequence in the group.
GROUP_RATIO = 0.75


@dataclass(frozen=True)
class Group:
    """Group of sequences that are padded to the same length in the padded buffer (see `PackedLayout`).

    Attributes:
        start: first row of the group in the padded buffer.
        count: number of sequences in the group.
        length: number of rows of each sequence, including padding.
        mask: value to add to attention scores: -inf for padding, otherwise 0. None if the group has no padding.
            float [count, 1, 1, length]
    """

    start: int
    count: int
    length: int
    mask: Tensor | None


@dataclass(frozen=True)
class PackedLayout:
    """Positions of a batch's tokens in the padded buffer that attention is computed on. All layers use the same layout.

    The padded buffer has one row for each token, and additional rows for padding.

    Attributes:
        cu_seqlens: cumulative sequence lengths. int64 [B+1]
        groups: groups of sequences that are padded to the same length. The longest sequences are in the first group.
        padded_from: for each row of the padded buffer, the index of the token that is copied to this row. Padding rows
            have a copy of token 0, but attention ignores them. int64 [P]
        token_at: for each token, the row of the padded buffer that the token is copied to. int64 [T]
        padding: for each row of the padded buffer, True if the row is padding. bool [P]
        max_length: length of the longest sequence.
    """

    cu_seqlens: Tensor
    groups: tuple[Group, ...]
    padded_from: Tensor
    token_at: Tensor
    padding: Tensor
    max_length: int

    @classmethod
    def of(cls, cu_seqlens: Tensor) -> PackedLayout:
        """Computes the `PackedLayout` of a batch: the positions of its tokens in the padded buffer.

        A sequence may be empty.

        Args:
            cu_seqlens: cumulative sequence lengths. [B+1]
        """
        cu = cu_seqlens.long()
        device = cu.device
        lengths = lengths_of(cu)
        order = lengths.argsort(descending=True, stable=True)
        ordered = lengths[order]
        sizes = ordered.tolist()
        padded_lengths = torch.zeros_like(ordered)
        spans = _group_spans(sizes)
        for first, last in spans:
            padded_lengths[first:last] = sizes[first]
        padded_cu = cu_from_lengths(padded_lengths)
        row_sequence = segment_ids(padded_cu)  # index into `order`
        offset = torch.arange(int(padded_cu[-1]), device=device) - padded_cu[row_sequence]
        padding = offset >= ordered[row_sequence]
        padded_from = torch.where(padding, 0, cu[order[row_sequence]] + offset)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=device)
        segments = segment_ids(cu)
        token_at = padded_cu[place[segments]] + torch.arange(int(cu[-1]), device=device) - cu[segments]
        groups = []
        for first, last in spans:
            start, count, length = int(padded_cu[first]), last - first, sizes[first]
            pad = padding[start : start + count * length].view(count, 1, 1, length)
            mask = torch.zeros(pad.shape, device=device).masked_fill_(pad, float("-inf")) if pad.any() else None
            groups.append(Group(start, count, length, mask))
        return cls(cu, tuple(groups), padded_from, token_at, padding, sizes[0] if sizes else 0)


def _group_spans(sizes: list[int]) -> list[tuple[int, int]]:
    """Divides sequences into groups of similar length. `GROUP_RATIO` defines which lengths are similar.

    Args:
        sizes: lengths of the sequences, in descending order.
    Returns:
        For each group, two indices into `sizes`: first index, and last index + 1. Empty sequences are in no group.
    """
    spans: list[tuple[int, int]] = []
    first = 0
    for i, size in enumerate(sizes):
        if size == 0:
            if i > first:
                spans.append((first, i))
            return spans
        if size < GROUP_RATIO * sizes[first] - 2:  # - 2: very short sequences share a group, because padding is cheap
            spans.append((first, i))
            first = i
    if len(sizes) > first:
        spans.append((first, len(sizes)))
    return spans


class _Pad(torch.autograd.Function):
    """Copies tokens to the padded buffer (see `PackedLayout`).

    The backward pass ignores the gradients of padding rows, because attention ignores these rows.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: PackedLayout) -> Tensor:
        ctx.layout = layout
        return x.index_select(0, layout.padded_from)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].index_select(0, ctx.layout.token_at), None


class _Unpad(torch.autograd.Function):
    """Copies tokens from the padded buffer (see `PackedLayout`) back to a packed tensor, which has no padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: PackedLayout) -> Tensor:
        ctx.layout = layout
        return x.index_select(0, layout.token_at)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        padded = grads[0].index_select(0, ctx.layout.padded_from)
        return padded.masked_fill_(ctx.layout.padding[:, None], 0.0), None


def packed_attention(qkv: Tensor, num_heads: int, layout: PackedLayout, null_weight: float = 0.0) -> Tensor:
    """Computes multi-head attention. Each token attends to all tokens of its sequence.

    An attended token with attention score s gets the weight exp(s) / (null_weight + Σ exp(s)). If `null_weight` is 0,
    this is the softmax, whose weights always sum to 1. Otherwise, the sum of the weights depends on the number of
    tokens: for n tokens of score 0, it is n / (null_weight + n). So an attention head can distinguish many tokens from
    few.

    Args:
        qkv: queries, keys and values, concatenated. [T, 3·D]
        num_heads: number of attention heads. D must be a multiple of it.
        layout: layout of the T tokens in the padded buffer.
        null_weight: number of virtual tokens with score 0 and value 0 that are added to every sequence.
    Returns:
        Weighted sums of the values. [T, D]
    """
    dim = qkv.shape[1] // 3
    half = qkv.is_cuda and qkv.dtype in (torch.bfloat16, torch.float16)
    varlen_attn = _varlen_attn() if half and not null_weight else None  # the kernel supports only the softmax
    if varlen_attn is not None:
        query, key, value = qkv.view(-1, 3, num_heads, dim // num_heads).unbind(1)
        cu = layout.cu_seqlens.int()
        mixed = varlen_attn(query, key, value, cu, cu, layout.max_length, layout.max_length)
        return mixed.reshape(-1, dim)
    padded = _Pad.apply(qkv, layout)
    mixed = torch.cat([_group_attention(padded, group, num_heads, null_weight) for group in layout.groups])
    return _Unpad.apply(mixed, layout)


@cache
def _varlen_attn() -> Any:
    """Returns PyTorch's attention kernel for sequences of different lengths, or None if PyTorch is older than 2.10."""
    try:  # imported here, because this import takes seconds
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def _group_attention(padded: Tensor, group: Group, num_heads: int, null_weight: float) -> Tensor:
    rows = padded.narrow(0, group.start, group.count * group.length)
    dim = rows.shape[1] // 3
    split = rows.view(group.count, group.length, 3, num_heads, dim // num_heads)
    query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)  # [N, H, L, D/H]
    mask = None if group.mask is None else group.mask.to(query.dtype)
    if null_weight:
        key, value = F.pad(key, (0, 0, 0, 1)), F.pad(value, (0, 0, 0, 1))
        known = query.new_zeros(group.count, 1, 1, group.length) if mask is None else mask
        mask = F.pad(known, (0, 1), value=math.log(null_weight))
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return mixed.transpose(1, 2).reshape(-1, dim)


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017) on packed tokens.

    Args:
        embed_dim: width D, a multiple of `num_heads`.
        num_heads: number of attention heads.
        null_weight: number of virtual zero tokens added to every sequence, see `packed_attention`.
    """

    def __init__(self, embed_dim: int, num_heads: int, null_weight: float = 0.0) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.null_weight = null_weight
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Tensor, layout: PackedLayout) -> Tensor:
        """Returns the attention output of each token. [T, D] -> [T, D]."""
        qkv = self.qkv(x)
        if qkv.is_cuda or qkv.dtype == torch.float32:
            return self.proj(packed_attention(qkv, self.num_heads, layout, self.null_weight))
        # on a CPU, half precision speeds up matrix products but slows down attention
        with torch.autocast("cpu", enabled=False):
            mixed = packed_attention(qkv.float(), self.num_heads, layout, self.null_weight)
        return self.proj(mixed)
