"""Converts masks to token indices for the encoder, the predictor and the loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geojepa_cli.nn.layouts import PackedLayout, SharedLayout
from geojepa_cli.nn.masks.draw import Masks
from geojepa_cli.nn.packing import count_in_segments, cu_from_lengths, interleave, ragged_arange


@dataclass(frozen=True)
class MaskIndices:
    """Masks of a batch as token indices, for the context encoder, the predictor and the loss.

    Attributes:
        context_index: indices of the visible (context) tokens in the batch. int64 [C]
        context_cu: cumulative numbers of context tokens of the tiles. int64 [B+1]
        target_index: indices of the hidden (target) tokens in the batch: first the tokens of the first target of all
            tiles, then the tokens of the second target, and so on. int64 [M]
        target_cu: cumulative numbers of tokens of the targets, in the order of `target_index`. int64 [num_targets·B+1]
    """

    context_index: Tensor
    context_cu: Tensor
    target_index: Tensor
    target_cu: Tensor

    @classmethod
    def of(cls, masks: Masks, cu_seqlens: Tensor) -> MaskIndices:
        """Converts the masks of a batch to token indices.

        Args:
            masks: masks of the batch.
            cu_seqlens: cumulative token counts of the tiles. [B+1]
        """
        return cls(
            context_index=masks.context.nonzero().flatten(),
            context_cu=cu_from_lengths(count_in_segments(masks.context, cu_seqlens)),
            target_index=masks.targets.nonzero()[:, 1],
            target_cu=cu_from_lengths(count_in_segments(masks.targets, cu_seqlens).flatten()),
        )


@dataclass(frozen=True)
class PredictorInput:
    """Order of the context tokens and mask tokens in the predictor's input.

    A mask token stands for a hidden token. C is the number of context tokens of the batch.

    Attributes:
        index: number of each of the P tokens in the predictor's input. 0 to C - 1 are the context tokens, in the order
            of `MaskIndices.context_index`. C + t is the mask token for token t of the batch. int64 [P]
        predicted_at: positions of the mask tokens in the predictor's input, in the order of
            `MaskIndices.target_index`. int64 [M]
        layout: layout of attention: which tokens attend to which tokens.
    """

    index: Tensor
    predicted_at: Tensor
    layout: PackedLayout | SharedLayout

    @classmethod
    def separate(cls, masks: MaskIndices) -> PredictorInput:
        """Makes one sequence for each target of each tile: the context tokens of the tile, then the mask tokens.

        All tokens of a sequence attend to each other.
        """
        contexts, lengths = masks.context_cu.diff(), masks.target_cu.diff()
        targets = len(lengths) // len(contexts)
        known = torch.where(lengths > 0, contexts.repeat(targets), 0)
        known_index = ragged_arange(masks.context_cu[:-1].repeat(targets), known)
        index, cu = interleave(cu_from_lengths(known), masks.target_cu)
        rows = torch.cat([known_index, len(masks.context_index) + masks.target_index])
        at = (index >= len(known_index)).nonzero().flatten()
        return cls(rows.index_select(0, index), at, PackedLayout.of(cu))

    @classmethod
    def shared(cls, masks: MaskIndices) -> PredictorInput:
        """Makes an input with the context tokens of all tiles, then the mask tokens of all targets.

        Each context token occurs only once, and is used for all targets of its tile. This is possible because context
        tokens attend only to context tokens.
        """
        count = len(masks.context_index)
        device = masks.context_index.device
        index = torch.cat([torch.arange(count, device=device), count + masks.target_index])
        at = torch.arange(count, len(index), device=device)
        return cls(index, at, SharedLayout.of(masks.context_cu, masks.target_cu))
