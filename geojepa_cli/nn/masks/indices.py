"""Converts masks to token indices for the encoder, the predictor and the loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geojepa_cli.nn.masks.draw import Masks
from geojepa_cli.nn.packing import count_in_segments, cu_from_lengths, interleave, ragged_arange


@dataclass(frozen=True)
class MaskIndices:
    """Masks of a batch as token indices, for the context encoder, the predictor and the loss.

    The input of the predictor has one sequence for each target of each tile: the context tokens of the tile, then one
    mask token for each token of the target.

    Attributes:
        context_index: indices, in the batch, of the visible (context) tokens. int64 [C]
        context_cu: cumulative numbers of context tokens of the tiles. int64 [B+1]
        target_index: indices, in the batch, of the hidden (target) tokens. They are ordered by target, then by tile.
            int64 [M]
        predictor_index: token in each row of the predictor's input. A number i below C means the context token
            `context_index[i]`. The number C + t means the mask token of token t of the batch. int64 [P]
        predictor_cu: cumulative sequence lengths of the predictor's input. int64 [num_targets·B+1]
        predicted_at: rows of the mask tokens in the predictor's input, in the order of `target_index`. int64 [M]
    """

    context_index: Tensor
    context_cu: Tensor
    target_index: Tensor
    predictor_index: Tensor
    predictor_cu: Tensor
    predicted_at: Tensor

    @classmethod
    def of(cls, masks: Masks, cu_seqlens: Tensor) -> MaskIndices:
        """Converts the masks of a batch to token indices.

        Args:
            masks: masks of the batch.
            cu_seqlens: cumulative token counts of the tiles. [B+1]
        """
        context_index = masks.context.nonzero().flatten()
        context_lengths = count_in_segments(masks.context, cu_seqlens)
        context_cu = cu_from_lengths(context_lengths)
        target_index = masks.targets.nonzero()[:, 1]
        target_lengths = count_in_segments(masks.targets, cu_seqlens)  # [N, B]
        known = torch.where(target_lengths > 0, context_lengths, 0).flatten()
        starts = context_cu[:-1].expand_as(target_lengths).flatten()
        known_index = ragged_arange(starts, known)
        index, predictor_cu = interleave(cu_from_lengths(known), cu_from_lengths(target_lengths.flatten()))
        rows = torch.cat([known_index, len(context_index) + target_index])
        return cls(
            context_index=context_index,
            context_cu=context_cu,
            target_index=target_index,
            predictor_index=rows.index_select(0, index),
            predictor_cu=predictor_cu,
            predicted_at=(index >= len(known_index)).nonzero().flatten(),
        )
