"""Draws masks at random for all tiles of a batch (GeoJEPA thesis, section 7.6.8)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geojepa_cli.nn.masks.rates import MaskRates
from geojepa_cli.nn.masks.targets import area_targets, kind_targets, modality_target, random_targets
from geojepa_cli.nn.packing import count_in_segments, lengths_of, rank_in_segments, segment_ids

RANDOM, AREA, MODALITY, KIND = 0, 1, 2, 3


@dataclass(frozen=True)
class Masks:
    """Masks of a batch: the visible tokens (the context) and the sets of hidden tokens (the targets) of each tile.

    No token is both in the context and in a target.

    Attributes:
        context: True for tokens in the context. bool [T]
        targets: `targets[i, t]` is True if token t is in target i of its tile. Targets of a tile may overlap, and a
            target may be empty. bool [num_targets, T]
        strategy: mask type of each tile. RANDOM hides random tokens, AREA hides rectangles, MODALITY hides all
            modalities except one, and KIND hides similar entities. int64 [B]
    """

    context: Tensor
    targets: Tensor
    strategy: Tensor


def draw_masks(
    box: Tensor,
    modality: Tensor,
    cu_seqlens: Tensor,
    rates: MaskRates,
    rng: torch.Generator,
    content: Tensor | None = None,
) -> Masks:
    """Draws a mask for each tile of a batch: first the mask type, then the targets and the context.

    Targets are sets of hidden tokens. The context has the visible tokens. `MaskRates` describes the mask types.

    A random mask replaces an area mask (which hides rectangles) whose rectangles contain no token. A random mask also
    replaces a kind mask (which hides similar entities) that would hide all tokens of the tile. The token of a tile with
    a single token stays visible.

    Args:
        box: bounding box corners of each token, in tile units. [T, 8]
        modality: modality id of each token. int64 [T]
        cu_seqlens: cumulative token counts of the tiles. [B+1]
        rates: frequencies of the mask types, and sizes of the targets.
        rng: random generator on the CPU, so that masks are the same on any device.
        content: vector of each token. The vector of an entity is the mean embedding of its tags. Required for kind
            masks, which compare these vectors to find similar entities. [T, E]
    """
    device = box.device
    cu = cu_seqlens.long()
    lengths, segments = lengths_of(cu), segment_ids(cu)
    tokens, tiles = len(box), len(lengths)
    noise = torch.rand(rates.num_targets + 1, tokens, generator=rng, dtype=torch.float64).to(device)
    chance = torch.rand(2, tiles, generator=rng, dtype=torch.float64).to(device)
    areas = torch.rand(4, rates.num_targets, tiles, generator=rng, dtype=torch.float64).to(device)

    random = random_targets(noise[1:], segments, cu, rates.random_ratio)
    area = area_targets(box, segments, areas, rates)
    other, multimodal = modality_target(modality, segments, cu, chance[1])
    alone = torch.zeros_like(random)
    alone[0] = other
    strategy = _draw_strategies(chance[0], multimodal, rates)
    strategy = torch.where((strategy == AREA) & (count_in_segments(area, cu).sum(0) == 0), RANDOM, strategy)
    by_strategy = {RANDOM: random, AREA: area, MODALITY: alone}
    if rates.kind and content is not None:
        span = rates.kind_high - rates.kind_low
        threshold = rates.kind_low + span * areas[0]
        kind = kind_targets(content, modality == rates.entity, segments, cu, noise[1:], threshold)
        nothing_left = count_in_segments(kind.any(0)[None], cu)[0] == lengths
        strategy = torch.where((strategy == KIND) & nothing_left, RANDOM, strategy)
        by_strategy[KIND] = kind

    targets = random
    for number, drawn in by_strategy.items():
        targets = torch.where(strategy[segments] == number, drawn, targets)
    context = _grow(~targets.any(0), _least_context(strategy, lengths, rates), noise[0], segments, cu)
    return Masks(context, targets & ~context, strategy)


def _draw_strategies(chance: Tensor, multimodal: Tensor, rates: MaskRates) -> Tensor:
    odds = torch.tensor([rates.random, rates.area, rates.kind], dtype=torch.float64, device=chance.device)
    strategies = torch.tensor([RANDOM, AREA, KIND], device=chance.device)
    modality = torch.where(multimodal, rates.modality, 0.0)
    pick = chance * (odds.sum() + modality)
    unimodal = strategies[torch.bucketize(pick, odds.cumsum(0), right=True).clamp_max(2)]
    return torch.where(pick < odds.sum(), unimodal, MODALITY)


def _least_context(strategy: Tensor, lengths: Tensor, rates: MaskRates) -> Tensor:
    """Returns the minimum number of visible (context) tokens of each tile. int64 [B]"""
    shares = [rates.random_context, rates.area_context, rates.modality_context, rates.kind_context]
    least = (torch.tensor(shares, device=lengths.device)[strategy] * lengths).ceil().long().clamp_min(1)
    return torch.minimum(least, (lengths - 1).clamp_min(1))


def _grow(context: Tensor, least: Tensor, noise: Tensor, segments: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Adds random tokens to the context (the visible tokens) of each tile that has too few visible tokens.

    Args:
        context: True for visible tokens. bool [T]
        least: minimum number of visible tokens of each tile. int64 [B]
        noise: uniform random numbers in [0, 1). The tokens with the smallest numbers are added. float64 [T]
        segments: tile index of each token. int64 [T]
        cu_seqlens: cumulative token counts of the tiles. [B+1]
    Returns:
        The new context. bool [T]
    """
    # tokens in the context get the smallest keys, so they rank first and random other tokens follow
    keys = torch.where(context, 0.5 * noise, 0.5 + 0.5 * noise)
    return context | (rank_in_segments(keys, segments, cu_seqlens) < least[segments])
