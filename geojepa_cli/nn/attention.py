"""Self-attention on packed sequences, with little padding.

By default, sequences are sorted by length and padded in groups of similar length. Scaled dot-product attention then
runs once per group. On CUDA in half precision, the variable-length kernel of PyTorch is used instead. Both compute the
same result as a loop over the sequences.
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

# Minimum length of the shortest sequence in a group, as a fraction of the longest one's length.
GROUP_RATIO = 0.75


@dataclass(frozen=True)
class Group:
    """Group of sequences that are padded to the same length.

    Attributes:
        start: first row of the group in the padded buffer.
        count: number of sequences.
        length: number of rows per sequence, including padding.
        mask: additive attention mask, -inf for padding. None if no sequence is padded. float [count, 1, 1, length]
    """

    start: int
    count: int
    length: int
    mask: Tensor | None


@dataclass(frozen=True)
class PackedLayout:
    """Grouping of a batch's tokens for attention, computed once and used by every layer.

    Attributes:
        cu_seqlens: cumulative sequence lengths. int64 [B+1]
        groups: groups of sequences that are padded to the same length, longest first.
        padded_from: token index of every row of the padded buffer (any token for padding rows). int64 [P]
        token_at: row of every token in the padded buffer. int64 [T]
        padding: True for rows that are padding. bool [P]
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
        """Returns the layout for cumulative sequence lengths `cu_seqlens` [B+1]. Empty sequences are allowed."""
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
    """Splits descending lengths into ranges (first, last) of similar length, as GROUP_RATIO requires."""
    spans: list[tuple[int, int]] = []
    first = 0
    for i, size in enumerate(sizes):
        if size == 0:
            if i > first:
                spans.append((first, i))
            return spans
        if size < GROUP_RATIO * sizes[first] - 2:  # - 2: a separate group does not pay off for very short sequences
            spans.append((first, i))
            first = i
    if len(sizes) > first:
        spans.append((first, len(sizes)))
    return spans


class _Pad(torch.autograd.Function):
    """Copies tokens to padded rows. Both directions are a gather, because masked padding rows get no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: PackedLayout) -> Tensor:
        ctx.layout = layout
        return x.index_select(0, layout.padded_from)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].index_select(0, ctx.layout.token_at), None


class _Unpad(torch.autograd.Function):
    """Copies padded rows back to tokens."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: PackedLayout) -> Tensor:
        ctx.layout = layout
        return x.index_select(0, layout.token_at)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        padded = grads[0].index_select(0, ctx.layout.padded_from)
        return padded.masked_fill_(ctx.layout.padding[:, None], 0.0), None


def packed_attention(qkv: Tensor, num_heads: int, layout: PackedLayout, null_weight: float = 0.0) -> Tensor:
    """Computes the attention of every token to the tokens of its sequence.

    A token with score s gets the weight exp(s) / (null_weight + Σ exp(s)). If `null_weight` is 0, this is the softmax.
    For n tokens of score 0, the weights sum to n / (null_weight + n). So a head can distinguish many tokens from few.
    With a softmax it cannot, because the weights always sum to 1.

    Args:
        qkv: queries, keys and values, concatenated. [T, 3·D]
        num_heads: number of heads that D is split into.
        layout: layout of the T tokens.
        null_weight: number of virtual tokens of score 0 and value 0 that are added to every sequence.
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
    """Returns the variable-length kernel, or None before torch 2.10. Imported here, because that takes seconds."""
    try:
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
        null_weight: number of virtual tokens of value 0; see `packed_attention`.
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
        """Maps tokens [T, D] to tokens [T, D]."""
        qkv = self.qkv(x)
        if qkv.is_cuda or qkv.dtype == torch.float32:
            return self.proj(packed_attention(qkv, self.num_heads, layout, self.null_weight))
        # on a CPU, half precision speeds up matrix products but slows down attention
        with torch.autocast("cpu", enabled=False):
            mixed = packed_attention(qkv.float(), self.num_heads, layout, self.null_weight)
        return self.proj(mixed)
