"""Self-attention on packed sequences of different lengths, with little padding.

There are three methods, with the same result as a loop over the sequences:

- By default, sequences are divided into groups of similar length. The sequences of a group are padded to the same
  length, and scaled dot-product attention runs once per group.
- On CUDA in half precision, PyTorch's attention kernel for sequences of different lengths is used.
- If, in addition, training compiles its layers, FlexAttention is used (see `nn.flex`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.nn.layouts import PackedLayout, SharedLayout
from geojepa_cli.nn.padding import Group, Padded

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

NULL_COLUMNS = 8  # additional columns per head for a null key; attention kernels need a multiple of 8


class _Pad(torch.autograd.Function):
    """Copies tokens to a padded buffer. The backward pass ignores the gradients of padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor, row_of: Tensor) -> Tensor:
        ctx.save_for_backward(row_of)
        return x.index_select(0, source)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0].index_select(0, *ctx.saved_tensors), None, None


class _Unpad(torch.autograd.Function):
    """Copies tokens from a padded buffer back to a packed tensor, which has no padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor, row_of: Tensor, padding: Tensor) -> Tensor:
        ctx.save_for_backward(source, padding)
        return x.index_select(0, row_of)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        source, padding = ctx.saved_tensors
        return grads[0].index_select(0, source).masked_fill_(padding[:, None], 0.0), None, None, None


class _TakeKeys(torch.autograd.Function):
    """Copies the key and value of each token to all sequences that use it. The backward pass adds up the gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, source: Tensor, context_rows: Tensor, context_used: Tensor, target_rows: Tensor
    ) -> Tensor:
        ctx.save_for_backward(context_rows, context_used, target_rows)
        return x.index_select(0, source)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        context_rows, context_used, target_rows = ctx.saved_tensors
        grad = grads[0]
        context = grad.index_select(0, context_rows[0])  # every context token is in the sequence of its tile
        for rows, used in zip(context_rows[1:], context_used[1:], strict=True):
            context = context.addcmul_(grad.index_select(0, rows), used[:, None].to(grad.dtype))
        return torch.cat([context, grad.index_select(0, target_rows)]), None, None, None, None


def packed_attention(qkv: Tensor, num_heads: int, layout: PackedLayout, null_weight: float = 0.0) -> Tensor:
    """Computes multi-head attention. Each token attends to all tokens of its sequence.

    An attended token with attention score s gets the weight exp(s) / (null_weight + Σ exp(s)). If `null_weight` is 0,
    this is the softmax, whose weights always sum to 1. Otherwise, the sum of the weights depends on the number of
    tokens: for n tokens of score 0, the sum is n / (null_weight + n). So an attention head can distinguish sequences of
    many tokens from sequences of few.

    Args:
        qkv: queries, keys and values, concatenated. [T, 3·D]
        num_heads: number of attention heads. D must be a multiple of it.
        layout: layout of the T tokens.
        null_weight: number of virtual tokens with score 0 and value 0 that are added to every sequence.
    Returns:
        Weighted sums of the values. [T, D]
    """
    dim = qkv.shape[1] // 3
    if layout.blocks is not None:
        query, key, value = qkv.view(-1, 3, num_heads, dim // num_heads).unbind(1)
        return _flex(query, key, value, layout.blocks, null_weight)
    if _has_kernel(qkv):
        query, key, value = qkv.view(-1, 3, num_heads, dim // num_heads).unbind(1)
        if null_weight:
            key, value = (_select_with_null(x, layout.null_keys[0]) for x in (key, value))
        return _kernel(query, key, value, layout, null_weight)
    padded = layout.padded
    rows = _Pad.apply(qkv, padded.queries.source, padded.queries.row_of)
    sizes = [group.count * group.queries for group in padded.groups]
    mixed = []
    # split, not narrow: the backward pass of narrow fills a tensor of the whole size for each group
    for part, group in zip(rows.split(sizes), padded.groups, strict=True):
        split = part.view(group.count, group.keys, 3, num_heads, dim // num_heads).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)  # [N, H, L, D/H]
        mixed.append(_group_attention(query, key, value, group, null_weight))
    return _unpad(mixed, padded)


def shared_attention(
    query: Tensor, key_value: Tensor, num_heads: int, layout: SharedLayout, null_weight: float = 0.0
) -> Tensor:
    """Computes multi-head attention for several sets of tokens (targets) of a tile that share context tokens.

    A context token attends to the context tokens of its tile. A target token attends to the context tokens of its tile
    and to the tokens of its target.

    Args:
        query: queries of the C context tokens, then of the M target tokens. [C+M, D]
        key_value: keys and values of the same tokens, concatenated. [C+M, 2·D]
        num_heads: number of attention heads. D must be a multiple of it.
        layout: layout of the tokens.
        null_weight: number of virtual tokens with score 0 and value 0 that are added to every sequence.
    Returns:
        Weighted sums of the values. [C+M, D]
    """
    if layout.blocks is not None or _has_kernel(query):
        shape = (-1, 2, num_heads, query.shape[1] // num_heads)
        if null_weight and layout.blocks is None:
            keys = _select_with_null(key_value, layout.null_keys[0])
        else:
            keys = _TakeKeys.apply(key_value, *layout.uses)
        key, value = keys.view(shape).unbind(1)
        if layout.blocks is not None:
            return _flex(query.unflatten(1, shape[2:]), key, value, layout.blocks, null_weight)
        return _kernel(query.unflatten(1, shape[2:]), key, value, layout, null_weight)
    padded = layout.padded
    keys = _TakeKeys.apply(key_value, *layout.padded_uses)
    queries = _Pad.apply(query, padded.queries.source, padded.queries.row_of)
    sizes = [[g.count * g.queries for g in padded.groups], [g.count * g.keys for g in padded.groups]]
    mixed = []
    for part, other, group in zip(queries.split(sizes[0]), keys.split(sizes[1]), padded.groups, strict=True):
        heads = (num_heads, query.shape[1] // num_heads)
        first = part.view(group.count, group.queries, *heads).transpose(1, 2)
        split = other.view(group.count, group.keys, 2, *heads).permute(2, 0, 3, 1, 4)
        key, value = split.unbind(0)
        mixed.append(_group_attention(first, key, value, group, null_weight))
    return _unpad(mixed, padded)


def _flex(query: Tensor, key: Tensor, value: Tensor, blocks: BlockMask, null_weight: float) -> Tensor:
    from geojepa_cli.nn.flex import attend  # imported here, because this import takes seconds

    return attend(query, key, value, blocks, null_weight)


def flex_obstacle() -> str | None:
    """Returns the reason why FlexAttention cannot be used, or None if it can be used."""
    try:  # imported here, because this import takes seconds
        import geojepa_cli.nn.flex  # noqa: F401
    except ImportError as error:
        return str(error)
    return None


def _has_kernel(x: Tensor) -> bool:
    half = x.is_cuda and x.dtype in (torch.bfloat16, torch.float16)
    return half and _varlen_attn() is not None


@cache
def _varlen_attn() -> Any:
    """Returns PyTorch's attention kernel for sequences of different lengths, or None if PyTorch is older than 2.10."""
    try:  # imported here, because this import takes seconds
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def _kernel(
    query: Tensor, key: Tensor, value: Tensor, layout: PackedLayout | SharedLayout, null_weight: float
) -> Tensor:
    """Runs PyTorch's attention kernel for sequences of different lengths.

    The kernel can only compute the softmax. If there is a null weight, each sequence has one more key, the null key,
    which must get the score log(null_weight). Two additional columns of queries and keys add this score for the null
    key only. The second column holds the rounding error of the first, because half precision rounds coarsely.

    Args:
        query: queries. [T, H, D/H]
        key: keys. The last key of each sequence is the null key if there is a null weight. [K, H, D/H]
        value: values. [K, H, D/H]
        layout: layout of the tokens.
        null_weight: number of virtual tokens with score 0 and value 0 in each sequence. The null key replaces them.
    """
    tokens, heads, width = query.shape
    scale = width**-0.5
    if isinstance(layout, SharedLayout):
        cu_queries, cu_keys, longest = layout.cu_queries, layout.cu_keys, (layout.max_queries, layout.max_keys)
    else:
        cu_queries, cu_keys, longest = layout.cu_seqlens, layout.cu_seqlens, (layout.max_length, layout.max_length)
    if null_weight:
        cu_keys, longest = layout.null_keys[1], (longest[0], longest[1] + 1)
        score = math.log(null_weight) / scale
        first = float(torch.tensor(score).to(query.dtype))
        columns = query.new_zeros(NULL_COLUMNS)
        columns[0], columns[1] = first, score - first
        query = torch.cat([query, columns.expand(tokens, heads, -1)], dim=2)
        is_null = torch.zeros(len(key), dtype=key.dtype, device=key.device)
        is_null.index_fill_(0, cu_keys[1:] - 1, 1.0)
        marks = F.pad(is_null[:, None, None].expand(-1, heads, 2), (0, NULL_COLUMNS - 2))
        key, value = torch.cat([key, marks], dim=2), F.pad(value, (0, NULL_COLUMNS))
    kernel = _varlen_attn()
    mixed = kernel(query, key, value, cu_queries.int(), cu_keys.int(), *longest, scale=scale)
    return mixed[..., :width].reshape(tokens, -1)


def _select_with_null(x: Tensor, index: Tensor) -> Tensor:
    """Selects rows of a tensor. An index equal to the number of rows selects a row of zeros."""
    return torch.cat([x, x.new_zeros(1, *x.shape[1:])]).index_select(0, index)


def _unpad(mixed: Sequence[Tensor], padded: Padded) -> Tensor:
    """Joins the results of all groups and removes the padding. Returns one row per token. [T, D]"""
    buffer = padded.queries
    return _Unpad.apply(torch.cat(list(mixed)), buffer.source, buffer.row_of, buffer.padding)


def _group_attention(query: Tensor, key: Tensor, value: Tensor, group: Group, null_weight: float) -> Tensor:
    """Computes attention within each of the N sequences of a group.

    Args:
        query: queries. [N, H, L, D/H]
        key: keys. [N, H, K, D/H]
        value: values. [N, H, K, D/H]
        group: group of sequences, whose mask excludes padded keys.
        null_weight: number of virtual tokens with score 0 and value 0 that are added to every sequence.
    Returns:
        Weighted sums of the values, sequence by sequence. [N·L, D]
    """
    mask = None if group.mask is None else group.mask.to(query.dtype)
    if null_weight:
        key, value = F.pad(key, (0, 0, 0, 1)), F.pad(value, (0, 0, 0, 1))
        known = query.new_zeros(group.count, 1, 1, group.keys) if mask is None else mask
        mask = F.pad(known, (0, 1), value=math.log(null_weight))
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return mixed.transpose(1, 2).flatten(2).flatten(0, 1)


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017) on packed tokens.

    `Block` applies `qkv`, then `attend`, then `proj`.

    Args:
        embed_dim: width D, a multiple of `num_heads`.
        num_heads: number of attention heads.
        null_weight: number of virtual tokens with score 0 and value 0 that are added to every sequence.
    """

    def __init__(self, embed_dim: int, num_heads: int, null_weight: float = 0.0) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.null_weight = null_weight
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def attend(self, qkv: Tensor, layout: PackedLayout | SharedLayout) -> Tensor:
        """Computes attention from queries, keys and values, without the output projection. [T, 3·D] -> [T, D]."""
        if qkv.is_cuda or qkv.dtype == torch.float32:
            return self._mix(qkv, layout)
        # on a CPU, half precision speeds up matrix products but slows down attention
        with torch.autocast("cpu", enabled=False):
            return self._mix(qkv.float(), layout)

    def _mix(self, qkv: Tensor, layout: PackedLayout | SharedLayout) -> Tensor:
        if isinstance(layout, SharedLayout):
            dim = qkv.shape[1] // 3
            return shared_attention(qkv[:, :dim], qkv[:, dim:], self.num_heads, layout, self.null_weight)
        return packed_attention(qkv, self.num_heads, layout, self.null_weight)
