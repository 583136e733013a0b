"""Target masks by strategy: random, area and modality (GeoJEPA thesis, section 7.6.8), and kind."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.nn.masks.rates import MaskRates
from geojepa_cli.nn.packing import count_in_segments, lengths_of, rank_in_segments


def random_targets(noise: Tensor, segments: Tensor, cu_seqlens: Tensor, ratio: float) -> Tensor:
    """Selects a random fraction of each tile's tokens: at least one, never all.

    The tokens with the smallest noise are selected.

    Args:
        noise: uniform random numbers in [0, 1). float64 [N, T]
        segments: tile index of each token. int64 [T]
        cu_seqlens: cumulative token counts of the tiles. [B+1]
        ratio: fraction of the tokens to select.
    Returns:
        True for selected tokens, by target. bool [N, T]
    """
    lengths = lengths_of(cu_seqlens)
    count = (lengths * ratio).round().long().clamp_min(1)
    count = torch.minimum(count, (lengths - 1).clamp_min(0))
    return rank_in_segments(noise, segments, cu_seqlens) < count[segments]


def area_targets(box: Tensor, segments: Tensor, chance: Tensor, rates: MaskRates) -> Tensor:
    """Selects the tokens whose bounding box has its centre in a random rectangle inside the tile.

    Args:
        box: bounding box corners of each token, in tile units. [T, 8]
        segments: tile index of each token. int64 [T]
        chance: uniform random numbers for area, aspect ratio, x and y. [4, N, B]
        rates: limits of area and aspect ratio.
    Returns:
        True for selected tokens, by target. bool [N, T]
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
    """Selects all tokens of a tile except those of one randomly drawn modality.

    Args:
        modality: modality id of each token. int64 [T]
        segments: tile index of each token. int64 [T]
        cu_seqlens: cumulative token counts of the tiles. [B+1]
        chance: uniform random numbers in [0, 1), one per tile. [B]
    Returns:
        True for selected tokens, bool [T], and True for tiles with several modalities, bool [B].
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
    """Selects all entities that are similar to a randomly drawn one, the anchor: for example all houses of a tile.

    A random or area target hides only some of the houses, so the visible ones predict the hidden ones. A kind target
    hides all houses, so only the rest of the tile can predict them.

    Args:
        content: vector of each token, without positional encoding. [T, D]
        is_entity: True for entity tokens. Only these can be selected. bool [T]
        segments: tile index of each token. int64 [T]
        cu_seqlens: cumulative token counts of the tiles. [B+1]
        noise: uniform random numbers in [0, 1). The entity with the smallest number is the anchor. [N, T]
        threshold: minimum cosine similarity to the anchor. [N, B]
    Returns:
        True for selected tokens, by target. bool [N, T]
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
