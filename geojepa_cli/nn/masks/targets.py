"""Targets by strategy: random, area and modality targets (thesis 7.6.8), and kind targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.nn.masks.rates import MaskRates
from geojepa_cli.nn.packing import count_in_segments, lengths_of, rank_in_segments


def random_targets(noise: Tensor, segments: Tensor, cu_seqlens: Tensor, ratio: float) -> Tensor:
    """Selects the tokens with the smallest noise: a share of each tile's, at least one, never all.

    Args:
        noise: in [0, 1). float64 [N, T]
        segments: tile of each token. int64 [T]
        cu_seqlens: starts of the tiles. [B+1]
        ratio: share of the tokens.
    Returns:
        bool [N, T]
    """
    lengths = lengths_of(cu_seqlens)
    count = (lengths * ratio).round().long().clamp_min(1)
    count = torch.minimum(count, (lengths - 1).clamp_min(0))
    return rank_in_segments(noise, segments, cu_seqlens) < count[segments]


def area_targets(box: Tensor, segments: Tensor, chance: Tensor, rates: MaskRates) -> Tensor:
    """Selects the tokens whose box has its centre in a rectangle drawn inside the tile.

    Args:
        box: corners. [T, 8]
        segments: tile of each token. int64 [T]
        chance: uniform numbers for area, aspect ratio, x and y. [4, N, B]
        rates: limits of area and aspect ratio.
    Returns:
        bool [N, T]
    """
    size = rates.area_low + (rates.area_high - rates.area_low) * chance[0]
    aspect = rates.aspect ** (2.0 * chance[1] - 1.0)  # as often wide as high
    width, height = (size * aspect).sqrt().clamp_max(1.0), (size / aspect).sqrt().clamp_max(1.0)
    west, south = (1.0 - width) * chance[2], (1.0 - height) * chance[3]
    # a box may reach past the tile, and its centre with it: such a token counts as on the border
    centre = box.view(-1, 4, 2).mean(1).double().clamp(0.0, 1.0)
    dx = centre[:, 0] - west[:, segments]
    dy = centre[:, 1] - south[:, segments]
    return (dx >= 0) & (dx <= width[:, segments]) & (dy >= 0) & (dy <= height[:, segments])


def modality_target(modality: Tensor, segments: Tensor, cu_seqlens: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
    """Selects all tokens except those of one modality, drawn among the tile's own.

    Args:
        modality: number of each token's modality. int64 [T]
        segments: tile of each token. int64 [T]
        cu_seqlens: starts of the tiles. [B+1]
        chance: uniform numbers. [B]
    Returns:
        The target, bool [T]; true for tiles with several modalities, bool [B].
    """
    numbers = int(modality.max()) + 1 if len(modality) else 1
    one_hot = modality[None] == torch.arange(numbers, device=modality.device)[:, None]
    present = count_in_segments(one_hot, cu_seqlens) > 0  # [numbers, B]
    count = present.sum(0)
    rank = (chance * count).long()  # of the modality that stays, among the present ones
    kept = ((present.cumsum(0) - 1 == rank) & present).long().argmax(0)
    return modality != kept[segments], count > 1


def kind_targets(
    content: Tensor, is_entity: Tensor, segments: Tensor, cu_seqlens: Tensor, noise: Tensor, threshold: Tensor
) -> Tensor:
    """Selects the entities similar to one of them, the anchor: for instance all houses, or all roads.

    With a random or area target, other houses stay visible. Here only the rest of the tile can predict them.

    Args:
        content: [T, D]
        is_entity: tokens that can be anchors and targets. bool [T]
        segments: tile of each token. int64 [T]
        cu_seqlens: starts of the tiles. [B+1]
        noise: the entity with the smallest is the anchor. [N, T]
        threshold: least cosine similarity to the anchor. [N, B]
    Returns:
        bool [N, T]
    """
    entities_first = torch.where(is_entity, 0.5 * noise, 0.5 + 0.5 * noise)
    first = rank_in_segments(entities_first, segments, cu_seqlens) == 0  # [N, T]
    target, token = (first & is_entity).nonzero(as_tuple=True)
    anchor = torch.zeros_like(threshold, dtype=torch.int64)
    anchor[target, segments[token]] = token
    directions = F.normalize(content.detach().float(), dim=1)
    similarity = torch.stack([(directions * directions[rows[segments]]).sum(1) for rows in anchor])
    # an anchor belongs to its kind, whatever rounding gives
    return is_entity & (first | (similarity >= threshold[:, segments]))
