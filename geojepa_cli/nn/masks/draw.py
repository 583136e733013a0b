"""Which tokens are context and which are to be predicted: random, area and modality masks (thesis 7.6.8), kind masks.

Drawn per tile, for all tiles of a packed batch at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from geojepa_cli.nn.packing import (
    count_in_segments,
    cu_from_lengths,
    interleave,
    lengths_of,
    ragged_arange,
    rank_in_segments,
    segment_ids,
)
from geojepa_cli.nn.tokens.position import TAGS

RANDOM, AREA, MODALITY, KIND = 0, 1, 2, 3


@dataclass(frozen=True)
class MaskRates:
    """How masks are drawn; the defaults are the thesis's.

    Attributes:
        random, area, modality, kind: odds of the strategies; where a tile has one modality only, the share of
            `modality` goes to the others. `kind` is not in the thesis.
        num_targets: targets of all strategies but `modality`, which has one.
        random_ratio: share of the tile's tokens in a random target.
        area_low, area_high: share of the tile's area in an area target.
        aspect: largest aspect ratio of an area target, smallest is its inverse.
        kind_low, kind_high: least cosine similarity to its anchor that puts an entity into a kind target, drawn
            between the two: from "roads" to "residential roads".
        random_context, area_context, modality_context, kind_context: smallest share of the tile's tokens left as
            context.
    """

    random: float = 0.2
    area: float = 0.6
    modality: float = 0.2
    kind: float = 0.0
    num_targets: int = 4
    random_ratio: float = 0.45
    area_low: float = 0.35
    area_high: float = 0.40
    aspect: float = 2.0
    kind_low: float = 0.5
    kind_high: float = 0.99
    random_context: float = 0.10
    area_context: float = 0.15
    modality_context: float = 0.15
    kind_context: float = 0.10


@dataclass(frozen=True)
class Masks:
    """Context and targets of every token; no token is both.

    Attributes:
        context: bool [T]
        targets: bool [num_targets, T]; a tile's targets may overlap, and some of them may be empty.
        strategy: RANDOM, AREA, MODALITY or KIND of each tile. int64 [B]
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
    """Draws a strategy for each tile and its masks.

    A tile of one token is all context. Where no area target holds a token, or kind targets hold all of them, the
    tile's mask is random.

    Args:
        box: corners of each token's box, tile units. [T, 8]
        modality: of each token. int64 [T]
        cu_seqlens: starts of the tiles. [B+1]
        rates: how.
        rng: a generator on the CPU, so that masks are the same on any device.
        content: what each token says, without position; kind masks need it. [T, D]
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
    strategy = _strategies(chance[0], multimodal, rates)
    strategy = torch.where((strategy == AREA) & (count_in_segments(area, cu).sum(0) == 0), RANDOM, strategy)
    by_strategy = {RANDOM: random, AREA: area, MODALITY: alone}
    if rates.kind and content is not None:
        span = rates.kind_high - rates.kind_low
        kind = kind_targets(content, modality, segments, cu, noise[1:], rates.kind_low + span * areas[0])
        nothing_left = count_in_segments(kind.any(0)[None], cu)[0] == lengths
        strategy = torch.where((strategy == KIND) & nothing_left, RANDOM, strategy)
        by_strategy[KIND] = kind

    targets = random
    for number, drawn in by_strategy.items():
        targets = torch.where(strategy[segments] == number, drawn, targets)
    smallest = [rates.random_context, rates.area_context, rates.modality_context, rates.kind_context]
    minimum = (torch.tensor(smallest, device=device)[strategy] * lengths).ceil().long().clamp_min(1)
    minimum = torch.minimum(minimum, (lengths - 1).clamp_min(1))
    context = _grow(~targets.any(0), minimum, noise[0], segments, cu)
    return Masks(context, targets & ~context, strategy)


def random_targets(noise: Tensor, segments: Tensor, cu_seqlens: Tensor, ratio: float) -> Tensor:
    """The tokens with the smallest noise: `ratio` of each tile's, at least one, never all. [N, T] -> bool [N, T]."""
    lengths = lengths_of(cu_seqlens)
    count = (lengths * ratio).round().long().clamp_min(1)
    count = torch.minimum(count, (lengths - 1).clamp_min(0))
    return rank_in_segments(noise, segments, cu_seqlens) < count[segments]


def area_targets(box: Tensor, segments: Tensor, chance: Tensor, rates: MaskRates) -> Tensor:
    """Tokens whose box's centre lies in a rectangle drawn inside the tile.

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
    """All tokens but those of one modality, drawn among the tile's own.

    Returns:
        The target, bool [T]; which tiles have several modalities, bool [B].
    """
    kinds = int(modality.max()) + 1 if len(modality) else 1
    one_hot = modality[None] == torch.arange(kinds, device=modality.device)[:, None]
    present = count_in_segments(one_hot, cu_seqlens) > 0  # [kinds, B]
    number = present.sum(0)
    kept = (chance * number).long()  # which of the present ones stays
    kept_kind = ((present.cumsum(0) - 1 == kept) & present).long().argmax(0)
    return modality != kept_kind[segments], number > 1


def kind_targets(
    content: Tensor, modality: Tensor, segments: Tensor, cu_seqlens: Tensor, noise: Tensor, threshold: Tensor
) -> Tensor:
    """Entities that say about the same as one of them, drawn as the anchor: all houses, or all roads.

    A random or area target leaves other houses in sight; here the rest of the tile alone has to tell of them.

    Args:
        content: [T, D]
        modality: only TAGS tokens are anchors and targets; pixels have no kind. int64 [T]
        segments: tile of each token. int64 [T]
        cu_seqlens: starts of the tiles. [B+1]
        noise: the entity with the smallest is the anchor. [N, T]
        threshold: least cosine similarity to the anchor. [N, B]
    Returns:
        bool [N, T]
    """
    is_entity = modality == TAGS
    entities_first = torch.where(is_entity, 0.5 * noise, 0.5 + 0.5 * noise)
    first = rank_in_segments(entities_first, segments, cu_seqlens) == 0  # [N, T]
    target, token = (first & is_entity).nonzero(as_tuple=True)
    anchor = torch.zeros_like(threshold, dtype=torch.int64)
    anchor[target, segments[token]] = token
    directions = F.normalize(content.detach().float(), dim=1)
    similarity = torch.stack([(directions * directions[rows[segments]]).sum(1) for rows in anchor])
    # an anchor is of its own kind, whatever rounding says
    return is_entity & (first | (similarity >= threshold[:, segments]))


def _strategies(chance: Tensor, multimodal: Tensor, rates: MaskRates) -> Tensor:
    odds = torch.tensor([rates.random, rates.area, rates.kind], dtype=torch.float64, device=chance.device)
    strategies = torch.tensor([RANDOM, AREA, KIND], device=chance.device)
    modality = torch.where(multimodal, rates.modality, 0.0)
    pick = chance * (odds.sum() + modality)
    unimodal = strategies[torch.bucketize(pick, odds.cumsum(0), right=True).clamp_max(2)]
    return torch.where(pick < odds.sum(), unimodal, MODALITY)


def _grow(context: Tensor, minimum: Tensor, noise: Tensor, segments: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Adds tokens at random where the context is below its minimum; context tokens rank before all others."""
    keys = torch.where(context, 0.5 * noise, 0.5 + 0.5 * noise)
    return context | (rank_in_segments(keys, segments, cu_seqlens) < minimum[segments])


@dataclass(frozen=True)
class MaskedBatch:
    """Masks as indices: what the context encoder, the predictor and the loss gather.

    Attributes:
        context_index: the context tokens. int64 [C]
        context_cu: starts of the tiles among them. int64 [B+1]
        target_index: the target tokens, target by target, then tile by tile. int64 [M]
        predictor_index: the predictor's tokens: context token i as i, the query for token t as C + t. int64 [P]
        predictor_cu: one sequence for each target of each tile: its context, then its queries. int64 [N·B+1]
        predicted_at: where the queries lie among the predictor's tokens, in the order of target_index. int64 [M]
    """

    context_index: Tensor
    context_cu: Tensor
    target_index: Tensor
    predictor_index: Tensor
    predictor_cu: Tensor
    predicted_at: Tensor

    @classmethod
    def of(cls, masks: Masks, cu_seqlens: Tensor) -> MaskedBatch:
        """Indices of the masks of a batch with tiles at `cu_seqlens`."""
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
