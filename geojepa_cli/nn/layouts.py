"""Layouts of attention: which tokens attend to which tokens, and how sequences are padded.

A layout is computed once per batch and used by all layers. An attention kernel for sequences of different lengths needs
only the cumulative lengths. Without such a kernel, sequences are divided into groups of similar length, and the
sequences of a group are padded to the same length (property `padded`, computed on first use).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from geojepa_cli.nn.packing import cu_from_lengths, interleave, lengths_of, ragged_arange, segment_ids
from geojepa_cli.nn.padding import Padded, bucket, make_groups, pad_sequences, similar_spans

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


@dataclass(frozen=True)
class PackedLayout:
    """Self-attention within packed sequences: each token attends to all tokens of its sequence.

    Attributes:
        cu_seqlens: cumulative sequence lengths. int64 [B+1]
        max_length: length of the longest sequence.
        tokens: number of tokens T.
        blocks: blocks of tokens for FlexAttention (see `nn.flex`). None: attention does not use it.
    """

    cu_seqlens: Tensor
    max_length: int
    tokens: int
    blocks: BlockMask | None = None

    @classmethod
    def of(cls, cu_seqlens: Tensor) -> PackedLayout:
        """Returns the layout of packed sequences. A sequence may be empty.

        Args:
            cu_seqlens: cumulative sequence lengths. [B+1]
        """
        cu = cu_seqlens.long()
        return cls(cu, int(cu.diff().max()) if len(cu) > 1 else 0, int(cu[-1]))

    def with_blocks(self) -> PackedLayout:
        """Returns a copy of the layout that makes attention use FlexAttention."""
        from geojepa_cli.nn.flex import block_mask  # imported here, because this import takes seconds

        return replace(self, blocks=block_mask(self.cu_seqlens, self.cu_seqlens, self.tokens, self.tokens))

    @cached_property
    def padded(self) -> Padded:
        """Padded buffers of queries and keys. The longest sequences come first."""
        lengths = lengths_of(self.cu_seqlens)
        order = lengths.argsort(descending=True, stable=True)
        sizes = lengths[order].tolist()
        spans = similar_spans(sizes)
        padded_lengths = [sizes[first] for first, last in spans for _ in range(first, last)]
        padded_lengths += [0] * (len(sizes) - len(padded_lengths))
        buffer = pad_sequences(self.cu_seqlens, order, padded_lengths)
        return Padded(tuple(make_groups(spans, padded_lengths, padded_lengths, buffer)), buffer, buffer)

    @cached_property
    def null_keys(self) -> tuple[Tensor, Tensor]:
        """Two tensors that describe the keys if a null key is added at the end of each sequence.

        The first has the index of each key's token, or the number of tokens T for a null key. int64 [T+B]
        The second has the cumulative numbers of keys. int64 [B+1]
        """
        return _null_keys(self.cu_seqlens, torch.arange(self.tokens, device=self.cu_seqlens.device), self.tokens)


class KeyUses(NamedTuple):
    """Rows of a buffer of keys: the token of each row, and the rows of each token.

    A context token has one key for its tile and one for each of the N targets of the tile. A target token has one key.

    Attributes:
        token: for each row of the buffer, the index of its token. int64 [R]
        context: for each context token, the rows of its keys: for the tile, then for each target. int64 [1+N, C]
        context_used: 0 where a target has no tokens, so that the entry in `context` is not used; otherwise 1.
            float [1+N, C]
        target: for each target token, the row of its key. int64 [M]
    """

    token: Tensor
    context: Tensor
    context_used: Tensor
    target: Tensor


@dataclass(frozen=True)
class SharedLayout:
    """Attention of several sets of tokens (targets) of a tile that share the context tokens of the tile.

    There are C context tokens, followed by M target tokens. A context token attends to the context tokens of its tile.
    A target token attends to the context tokens of its tile and to the tokens of its own target. So the vectors of the
    context tokens are the same for all targets of a tile, and are computed once.

    There are S sequences: first one for each tile, whose queries and keys are the context tokens; then one for each
    target that has tokens. The queries of a target's sequence are the target tokens. The keys are the context tokens of
    the tile and the target tokens.

    Attributes:
        cu_queries: cumulative numbers of queries of the sequences. int64 [S+1]
        cu_keys: cumulative numbers of keys of the sequences. int64 [S+1]
        key_token: for each of the K keys, the index of its token. int64 [K]
        context_keys: for each context token, the indices of its keys: one in the sequence of its tile, then one in the
            sequence of each of the N targets. 0 where a target has no tokens. int64 [1+N, C]
        context_used: 0 where a target has no tokens, so that the entry in `context_keys` is not used; otherwise 1.
            float [1+N, C]
        target_keys: for each target token, the index of its key. int64 [M]
        max_queries: largest number of queries of a sequence.
        max_keys: largest number of keys of a sequence.
        blocks: blocks of tokens for FlexAttention (see `nn.flex`). None: attention does not use it.
    """

    cu_queries: Tensor
    cu_keys: Tensor
    key_token: Tensor
    context_keys: Tensor
    context_used: Tensor
    target_keys: Tensor
    max_queries: int
    max_keys: int
    blocks: BlockMask | None = None

    @classmethod
    def of(cls, context_cu: Tensor, target_cu: Tensor) -> SharedLayout:
        """Computes the layout for the context and N targets of each tile.

        Args:
            context_cu: cumulative numbers of context tokens of the B tiles. [B+1]
            target_cu: cumulative numbers of tokens of the targets: first those of the first target of all tiles, then
                those of the second target, and so on. [N·B+1]
        """
        device, tiles, count = context_cu.device, len(context_cu) - 1, int(context_cu[-1])
        lengths = lengths_of(target_cu)
        known = torch.where(lengths > 0, lengths_of(context_cu).repeat(len(lengths) // tiles), 0)
        known_cu = cu_from_lengths(known)
        starts = context_cu[:-1].repeat(len(lengths) // tiles)
        shared = ragged_arange(starts, known)
        index, cu = interleave(known_cu, target_cu)
        own = count + torch.arange(int(target_cu[-1]), device=device)
        key_token = torch.cat([torch.arange(count, device=device), torch.cat([shared, own]).index_select(0, index)])
        position = torch.empty_like(index)  # of each entry of `shared` and `own` among the keys
        position[index] = count + torch.arange(len(index), device=device)
        segments = segment_ids(context_cu, count)
        offset = torch.arange(count, device=device) - context_cu[segments]
        entry = (known_cu[:-1].view(-1, tiles)[:, segments] + offset).clamp_max(max(len(shared) - 1, 0))
        used = known.view(-1, tiles)[:, segments] > 0
        in_targets = torch.where(used, position[entry], 0) if len(index) else torch.zeros_like(entry)
        some = lengths > 0
        cu_queries = torch.cat([context_cu, count + target_cu[1:][some]])
        cu_keys = torch.cat([context_cu, count + cu[1:][some]])
        return cls(
            cu_queries=cu_queries,
            cu_keys=cu_keys,
            key_token=key_token,
            context_keys=torch.cat([torch.arange(count, device=device)[None], in_targets]),
            context_used=torch.cat([torch.ones(1, count, device=device), used.float()]),
            target_keys=position[len(shared) :],
            max_queries=int(cu_queries.diff().max()),
            max_keys=int(cu_keys.diff().max()),
        )

    def with_blocks(self) -> SharedLayout:
        """Returns a copy of the layout that makes attention use FlexAttention."""
        from geojepa_cli.nn.flex import block_mask  # imported here, because this import takes seconds

        queries, keys = int(self.cu_queries[-1]), len(self.key_token)
        return replace(self, blocks=block_mask(self.cu_queries, self.cu_keys, queries, keys))

    @cached_property
    def padded(self) -> Padded:
        """Padded buffers of queries and keys."""
        queries, keys = lengths_of(self.cu_queries).tolist(), lengths_of(self.cu_keys).tolist()
        kinds = [(bucket(k), bucket(q)) for q, k in zip(queries, keys, strict=True)]
        order = sorted(range(len(kinds)), key=lambda i: (kinds[i], keys[i]), reverse=True)
        spans, first = [], 0
        for i in range(1, len(order) + 1):
            if i == len(order) or kinds[order[i]] != kinds[order[first]]:
                spans.append((first, i))
                first = i
        padded_queries, padded_keys = [0] * len(order), [0] * len(order)
        for first, last in spans:
            members = order[first:last]
            padded_queries[first:last] = [max(queries[i] for i in members)] * len(members)
            padded_keys[first:last] = [max(keys[i] for i in members)] * len(members)
        ordered = torch.tensor(order, device=self.cu_queries.device)
        query_buffer = pad_sequences(self.cu_queries, ordered, padded_queries)
        key_buffer = pad_sequences(self.cu_keys, ordered, padded_keys)
        return Padded(tuple(make_groups(spans, padded_queries, padded_keys, key_buffer)), query_buffer, key_buffer)

    @property
    def uses(self) -> KeyUses:
        """Tokens and rows of the K keys in a buffer without padding."""
        return KeyUses(self.key_token, self.context_keys, self.context_used, self.target_keys)

    @cached_property
    def padded_uses(self) -> KeyUses:
        """Tokens and rows of the keys in the padded buffer. Attention ignores the keys in padding rows."""
        buffer = self.padded.keys
        source, rows = self.key_token.index_select(0, buffer.source), buffer.row_of
        return KeyUses(source, rows[self.context_keys], self.context_used, rows[self.target_keys])

    @cached_property
    def null_keys(self) -> tuple[Tensor, Tensor]:
        """Two tensors that describe the keys if a null key is added at the end of each sequence.

        The first has the index of each key's token, or the number of tokens C+M for a null key. int64 [K+S]
        The second has the cumulative numbers of keys. int64 [S+1]
        """
        return _null_keys(self.cu_keys, self.key_token, self.context_keys.shape[1] + len(self.target_keys))


def _null_keys(cu_keys: Tensor, key_token: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    """Adds one key, the null key, at the end of each sequence. Does not wait for a GPU.

    Args:
        cu_keys: cumulative numbers of keys. [S+1]
        key_token: for each key, the index of its token. int64 [K]
        tokens: number of tokens. It is used as token index of the null keys.
    Returns:
        Token index of each key. int64 [K+S]
        Cumulative numbers of keys. [S+1]
    """
    sequences, keys = len(cu_keys) - 1, len(key_token)
    place = torch.arange(keys, device=cu_keys.device) + segment_ids(cu_keys, keys)
    index = torch.full((keys + sequences,), tokens, device=cu_keys.device).scatter_(0, place, key_token)
    return index, cu_keys + torch.arange(sequences + 1, device=cu_keys.device)
