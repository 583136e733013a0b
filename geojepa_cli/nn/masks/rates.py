"""Parameters of mask drawing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MaskRates:
    """Parameters of mask drawing. `config.schema.MaskingConfig` has the defaults of all fields except `entity`.

    Attributes:
        random, area, modality, kind: relative weights of the mask strategies. For a tile with only one modality, the
            weight of `modality` is 0. The GeoJEPA thesis has no `kind` strategy.
        num_targets: number of targets per tile. The strategy `modality` always has one target.
        random_ratio: fraction of the tile's tokens in a random target.
        area_low, area_high: minimum and maximum fraction of the tile's area in an area target.
        aspect: maximum aspect ratio of an area target. The minimum is its inverse.
        kind_low, kind_high: range from which the similarity threshold of a kind target is drawn. The target has all
            entities whose cosine similarity to a random entity reaches the threshold, for example all roads, or only
            residential roads.
        random_context, area_context, modality_context, kind_context: minimum fraction of the tile's tokens in the
            context, by strategy.
        entity: modality id of entity tokens. Kind masks select only entities.
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
