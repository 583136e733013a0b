"""Padded blocks of packed sequences, to compute a matrix of token pairs (such as similarities) for each sequence.

Sequences of similar length are in the same block. So there are few blocks and little padding, and a loop over blocks
replaces a slow loop over sequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.nn.packing import cu_from_lengths
from geojepa_cli.nn.padding import similar_spans


@dataclass(frozen=True)
class Block:
    """Sequences that are padded to the same length.

    Attributes:
        index: for each row of each padded sequence, the index of the row's token; 0 for padding. int64 [count, length]
        valid: True for tokens, False for padding. bool [count, length]
    """

    index: Tensor
    valid: Tensor

    def take(self, x: Tensor) -> Tensor:
        """Copies the vectors of tokens to the block. [T, D] -> [count, length, D]."""
        return F.embedding(self.index, x)  # faster than index_select in the backward pass

    @property
    def pairs(self) -> Tensor:
        """True for each pair of tokens of a sequence, False for pairs with padding. bool [count, length, length]"""
        return self.valid[:, :, None] & self.valid[:, None, :]


@dataclass(frozen=True)
class Blocks:
    """Blocks of all sequences of a batch. Empty sequences are in no block.

    Attributes:
        blocks: blocks, with the longest sequences first.
        order: indices of the sequences, in the order in which the blocks contain them. int64 [B]
        row_of: for each token, its row if the rows of all blocks are concatenated. int64 [T]
    """

    blocks: tuple[Block, ...]
    order: Tensor
    row_of: Tensor

    @classmethod
    def of(cls, lengths: Tensor, tokens: int) -> Blocks:
        """Divides packed sequences into blocks.

        If the lengths are on a GPU, this function waits for the GPU once, because the shapes of the blocks depend on
        the lengths.

        Args:
            lengths: number of tokens of each sequence. int64 [B]
            tokens: sum of the lengths T.
        """
        device = lengths.device
        ordered, order = lengths.sort(descending=True, stable=True)
        starts = cu_from_lengths(lengths)[:-1]
        sizes = ordered.tolist()
        padded = torch.zeros(len(sizes), dtype=torch.int64)
        blocks = []
        for first, last in similar_spans(sizes):
            padded[first:last] = sizes[first]
            offset = torch.arange(sizes[first], device=device)
            valid = offset < ordered[first:last, None]
            blocks.append(Block(torch.where(valid, starts[order[first:last], None] + offset, 0), valid))
        first_row = torch.empty_like(starts).index_copy(
            0, order, cu_from_lengths(padded)[:-1].to(device, non_blocking=True)
        )
        sequence = torch.repeat_interleave(torch.arange(len(sizes), device=device), lengths, output_size=tokens)
        offset = torch.arange(tokens, device=device) - starts[sequence]
        return cls(tuple(blocks), order, first_row[sequence] + offset)

    def __iter__(self) -> Iterator[Block]:
        """Iterates over the blocks."""
        return iter(self.blocks)
