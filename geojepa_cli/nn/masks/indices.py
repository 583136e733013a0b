"""Token indices of context and target masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geojepa_cli.nn.masks.draw import Masks
from geojepa_cli.nn.packing import count_in_segments, cu_from_lengths, interleave, ragged_arange


@dataclass(frozen=True)
class MaskIndices:
    """Token indices for the context encoder, the predictor and the loss.

    Attributes:
        context_index: indices of the context tokens in the batch. int64 [C]
        context_cu: cumulative counts of context tokens per tile. int64 [B+1]
        target_index: indices of the target tokens in the batch, ordered by target, then by tile. int64 [M]
        predictor_index: input rows of the predictor: i for context token i, C + t for the mask token of token t.
            int64 [P]
        predictor_cu: cumulative sequence lengths of the predictor's input. Each target of each tile has one sequence:
            the context tokens, then the mask tokens. int64 [N·B+1]
        predicted_at: positions of the mask tokens in `predictor_index`, in the order of `target_index`. int64 [M]
    """

    context_index: Tensor
    context_cu: Tensor
    target_index: Tensor
    predictor_index: Tensor
    predictor_cu: Tensor
    predicted_at: Tensor

    @classmethod
    def of(cls, masks: Masks, cu_seqlens: Tensor) -> MaskIndices:
        """Returns the token indices of masks, for a batch with cumulative token counts `cu_seqlens` of the tiles."""
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
