"""Padded blocks of packed sequences, to compute matrices between the tokens of each sequence.

The matrices take memory for pairs of tokens of the same sequence only, plus padding. Sequences of similar length are in
the same block, so there is no loop over sequences.
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
        index: for each row of each sequence, the index of its token. Padding has the index 0. int64 [count, length]
        valid: False for padding. bool [count, length]
    """

    index: Tensor
    valid: Tensor

    def take(self, x: Tensor) -> Tensor:
        """Copies the vectors of tokens to the block. [T, D] -> [count, length, D]."""
        return F.embedding(self.index, x)  # faster than index_select in the backward pass

    @property
    def pairs(self) -> Tensor:
        """True for pairs of tokens of the same sequence, without padding. bool [count, length, length]"""
        return self.valid[:, :, None] & self.valid[:, None, :]


@dataclass(frozen=True)
class Blocks:
    """Blocks of all sequences of a batch. Empty sequences are in no block.

    Attributes:
        blocks: blocks, with the longest sequences first.
        order: indices of the sequences, in the order of the blocks' rows. int64 [B]
        row_of: for each token, its row in the concatenation of all rows of all blocks. int64 [T]
    """

    blocks: tuple[Block, ...]
    order: Tensor
    row_of: Tensor

    @classmethod
    def of(cls, lengths: Tensor, tokens: int) -> Blocks:
        """Divides packed sequences into blocks.

        The shapes of the blocks depend on the lengths. So for lengths on a GPU, this waits for the GPU once.

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
