"""Masks as indices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geojepa_cli.nn.masks.draw import Masks
from geojepa_cli.nn.packing import count_in_segments, cu_from_lengths, interleave, ragged_arange


@dataclass(frozen=True)
class MaskIndices:
    """Rows that the context encoder, the predictor and the loss gather.

    Attributes:
        context_index: the context tokens. int64 [C]
        context_cu: starts of the tiles among them. int64 [B+1]
        target_index: the target tokens, target by target, then tile by tile. int64 [M]
        predictor_index: the predictor's tokens: context token i as i, the query for token t as C + t. int64 [P]
        predictor_cu: one sequence for each target of each tile: its context, then its queries. int64 [N·B+1]
        predicted_at: the queries among the predictor's tokens, in the order of target_index. int64 [M]
    """

    context_index: Tensor
    context_cu: Tensor
    target_index: Tensor
    predictor_index: Tensor
    predictor_cu: Tensor
    predicted_at: Tensor

    @classmethod
    def of(cls, masks: Masks, cu_seqlens: Tensor) -> MaskIndices:
        """Returns the indices of the masks of a batch with tiles at `cu_seqlens`."""
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
