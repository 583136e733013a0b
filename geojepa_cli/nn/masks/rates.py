"""Rates of masking, as numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MaskRates:
    """Parameters of mask drawing. The defaults are those of `config.schema.MaskingConfig`, which has the same fields.

    Attributes:
        random, area, modality, kind: odds of the strategies. In a tile of one modality, the share of `modality` goes
            to the others. `kind` is not in the thesis.
        num_targets: targets of all strategies except `modality`, which has one.
        random_ratio: share of the tile's tokens in a random target.
        area_low, area_high: share of the tile's area in an area target.
        aspect: largest aspect ratio of an area target; the smallest is its inverse.
        kind_low, kind_high: range from which the least cosine similarity between an anchor and the other entities of
            a kind target is drawn: from "roads" to "residential roads".
        random_context, area_context, modality_context, kind_context: smallest share of the tile's tokens that stays
            context.
        entity: number of the modality of entities; kind masks compare only these.
    """

    random: float
    area: float
    modality: float
    kind: float
    num_targets: int
    random_ratio: float
    area_low: float
    area_high: float
    aspect: float
    kind_low: float
    kind_high: float
    random_context: float
    area_context: float
    modality_context: float
    kind_context: float
    entity: int
