"""Selects the targets (sets of hidden tokens) of each mask type.

Random masks hide random tokens. Area masks hide the tokens in rectangles. Modality masks hide all modalities except
one. Kind masks hide all entities that are similar to a random entity. The first three types are those of the GeoJEPA
thesis, section 7.6.8.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.nn.masks.rates import MaskRates
from geojepa_cli.nn.packing import count_in_segments, lengths_of, rank_in_segments


def random_targets(noise: Tensor, segments: Tensor, cu_seqlens: Tensor, ratio: float) -> Tensor:
    """Selects N targets (sets of hidden tokens) for random masks.

    In each tile, a target has a fraction `ratio` of the tile's tokens, drawn at random. In each tile, at least one
    token is selected, but never all tokens. A tile with a single token is an exception: its token is not selected.

    Args:
        noise: uniform random numbers in [0, 1). In each tile, the tokens with the smallest numbers are selected.
            float64 [N, T]
        segments: tile index of each token. int64 [T]
        cu_seqlens: cumulative token counts of the tiles. [B+1]
        ratio: fraction of a tile's tokens to select.
    Returns:
        For each target, True for selected tokens. bool [N, T]
    """
    lengths = lengths_of(cu_seqlens)
    count = (lengths * ratio).round().long().clamp_min(1)
    count = torch.minimum(count, (lengths - 1).clamp_min(0))
    return rank_in_segments(noise, segments, cu_seqlens) < count[segments]


def area_targets(box: Tensor, segments: Tensor, chance: Tensor, rates: MaskRates) -> Tensor:
    """Selects N targets (sets of hidden tokens) for area masks, which hide the tokens in rectangles.

    In each tile, one rectangle is drawn at random for each target. A target has all tokens of the tile for which the
    centre of the bounding box is inside the target's rectangle.

    Args:
        box: bounding box corners of each token, in tile units. [T, 8]
        segments: tile index of each token. int64 [T]
        chance: uniform random numbers in [0, 1) for area, aspect ratio, x and y of each rectangle. [4, N, B]
        rates: limits of area and aspect ratio.
    Returns:
        For each target, True for selected tokens. bool [N, T]
    """
    size = rates.area_low + (rates.area_high - rates.area_low) * chance[0]
    aspect = rates.aspect ** (2.0 * chance[1] - 1.0)  # wide and tall rectangles are equally likely
    width, height = (size * aspect).sqrt().clamp_max(1.0), (size / aspect).sqrt().clamp_max(1.0)
    west, south = (1.0 - width) * chance[2], (1.0 - height) * chance[3]
    # a bounding box and its centre can extend past the tile: such a centre is moved to the tile border
    centre = box.view(-1, 4, 2).mean(1).double().clamp(0.0, 1.0)
    dx = centre[:, 0] - west[:, segments]
    dy = centre[:, 1] - south[:, segments]
    return (dx >= 0) & (dx <= width[:, segments]) & (dy >= 0) & (dy <= height[:, segments])


def modality_target(modality: Tensor, segments: Tensor, cu_seqlens: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
    """Selects the target (set of hidden tokens) of modality masks: all tokens of a tile except those of one modality.

    The modality that stays visible is drawn at random.

    Args:
        modality: modality id of each token. int64 [T]
        segments: tile index of each token. int64 [T]
        cu_seqlens: cumulative token counts of the tiles. [B+1]
        chance: a uniform random number in [0, 1) for each tile, which chooses the modality that stays visible. [B]
    Returns:
        Two tensors. The first is True for the selected tokens, bool [T]. The second is True for tiles with several
        modalities, bool [B].
    """
    numbers = int(modality.max()) + 1 if len(modality) else 1
    one_hot = modality[None] == torch.arange(numbers, device=modality.device)[:, None]
    present = count_in_segments(one_hot, cu_seqlens) > 0  # [numbers, B]
    count = present.sum(0)
    rank = (chance * count).long()  # rank of the visible modality among those present in the tile
    kept = ((present.cumsum(0) - 1 == rank) & present).long().argmax(0)
    return modality != kept[segments], count > 1


def kind_targets(
    content: Tensor, is_entity: Tensor, segments: Tensor, cu_seqlens: Tensor, noise: Tensor, threshold: Tensor
) -> Tensor:
    """Selects N targets (sets of hidden tokens) for kind masks, which hide all similar entities of a tile.

    For each target, one entity of the tile is drawn at random: the anchor. A target has the anchor and all entities of
    the tile that are similar to the anchor. If the anchor is a house, the target has all houses of the tile. The model
    must then predict the houses from roads and other entities. Random and area masks hide only some of the houses, so a
    model can predict them from the visible houses.

    Args:
        content: vector of each token, for entities the mean embedding of their tags. [T, E]
        is_entity: True for entity tokens. Only these can be selected. bool [T]
        segments: tile index of each token. int64 [T]
        cu_seqlens: cumulative token counts of the tiles. [B+1]
        noise: uniform random numbers in [0, 1). In each tile, the entity with the smallest number is the anchor. [N, T]
        threshold: minimum cosine similarity of a selected entity to the anchor. [N, B]
    Returns:
        For each target, True for selected tokens. bool [N, T]
    """
    entities_first = torch.where(is_entity, 0.5 * noise, 0.5 + 0.5 * noise)
    first = rank_in_segments(entities_first, segments, cu_seqlens) == 0  # [N, T]
    target, token = (first & is_entity).nonzero(as_tuple=True)
    anchor = torch.zeros_like(threshold, dtype=torch.int64)
    anchor[target, segments[token]] = token
    directions = F.normalize(content.detach().float(), dim=1)
    similarity = torch.stack([(directions * directions[rows[segments]]).sum(1) for rows in anchor])
    # the anchor is always selected, even if rounding puts its similarity below the threshold
    return is_entity & (first | (similarity >= threshold[:, segments]))
