"""Padding of packed sequences: sequences of similar length form groups, and are padded to the same length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from geojepa_cli.nn.packing import cu_from_lengths, lengths_of, segment_ids

# Minimum length of the shortest sequence in a group, divided by the length of the longest sequence in the group.
GROUP_RATIO = 0.75


@dataclass(frozen=True)
class Group:
    """Sequences that are padded to the same number of queries and the same number of keys.

    Attributes:
        query_start: first row of the group in the padded buffer of queries.
        key_start: first row of the group in the padded buffer of keys.
        count: number of sequences in the group.
        queries: number of queries of each sequence, including padding.
        keys: number of keys of each sequence, including padding.
        mask: value to add to attention scores: -inf for padded keys, otherwise 0. None if no key is padding.
            float [count, 1, 1, keys]
    """

    query_start: int
    key_start: int
    count: int
    queries: int
    keys: int
    mask: Tensor | None


class Buffer(NamedTuple):
    """Rows of packed sequences, with padding after each sequence.

    Attributes:
        source: for each row, the index of the packed item that is copied to the row. 0 for padding. int64 [P]
        row_of: for each packed item, its row. int64 [T]
        padding: True for rows that are padding. bool [P]
    """

    source: Tensor
    row_of: Tensor
    padding: Tensor


class Padded(NamedTuple):
    """Padded buffers of a batch. In self-attention, `queries` and `keys` are the same buffer.

    Attributes:
        groups: groups of sequences, in the order of the rows.
        queries: buffer of the queries.
        keys: buffer of the keys.
    """

    groups: tuple[Group, ...]
    queries: Buffer
    keys: Buffer


def similar_spans(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Divides sequences into groups of similar length. `GROUP_RATIO` defines which lengths are similar.

    Args:
        sizes: lengths of the sequences, in descending order.
    Returns:
        For each group, the index of its first sequence, and of its last sequence + 1. Empty sequences are in no group.
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


def bucket(size: int) -> int:
    """Returns the number of a length class. Similar lengths are in the same class."""
    return int(math.log(size + 8) / math.log(1.0 / GROUP_RATIO))


def pad_sequences(cu: Tensor, order: Tensor, padded_lengths: Sequence[int]) -> Buffer:
    """Computes the padded buffer of packed sequences.

    Args:
        cu: cumulative sequence lengths. [B+1]
        order: order of the sequences in the buffer. int64 [B]
        padded_lengths: number of rows of each sequence, in the order of `order`. May be 0 for empty sequences.
    Returns:
        Rows of the buffer: the tokens of each sequence, then its padding.
    """
    device = cu.device
    padded_cu = cu_from_lengths(torch.tensor(padded_lengths, dtype=torch.int64)).to(device)
    rows = sum(padded_lengths)
    sequence = segment_ids(padded_cu, rows)  # index into `order`
    offset = torch.arange(rows, device=device) - padded_cu[sequence]
    padding = offset >= lengths_of(cu)[order][sequence]
    source = torch.where(padding, 0, cu[order[sequence]] + offset)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=device)
    segments = segment_ids(cu)
    row_of = padded_cu[place[segments]] + torch.arange(len(segments), device=device) - cu[segments]
    return Buffer(source, row_of, padding)


def make_groups(
    spans: Sequence[tuple[int, int]], queries: Sequence[int], keys: Sequence[int], buffer: Buffer
) -> list[Group]:
    """Returns the groups of sequences, with the mask of each group.

    Args:
        spans: for each group, the index of its first sequence, and of its last sequence + 1.
        queries: padded number of queries of each sequence.
        keys: padded number of keys of each sequence.
        buffer: padded buffer of the keys.
    """
    groups, query_start, key_start = [], 0, 0
    for first, last in spans:
        count = last - first
        pad = buffer.padding[key_start : key_start + count * keys[first]].view(count, 1, 1, keys[first])
        mask = torch.zeros(pad.shape, device=pad.device).masked_fill_(pad, float("-inf")) if pad.any() else None
        groups.append(Group(query_start, key_start, count, queries[first], keys[first], mask))
        query_start, key_start = query_start + count * queries[first], key_start + count * keys[first]
    return groups
