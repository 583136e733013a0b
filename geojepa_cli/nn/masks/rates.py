"""Parameters of the masks that divide a tile's tokens into visible and hidden tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MaskRates:
    """Parameters of the masks that divide a tile's tokens into visible and hidden tokens.

    A mask hides one or several sets of tokens, the targets. There are four types of masks. A target of a random mask
    has randomly chosen tokens. A target of an area mask has the tokens in a random rectangle. The target of a modality
    mask has all tokens except those of one modality. A target of a kind mask has all entities with tags similar to
    those of a randomly chosen entity, for example all roads, or only residential roads. Entities are the tokens of OSM
    elements; image patches are tokens too, but not entities.

    Attributes:
        random, area, modality, kind: relative frequencies of the mask types. Modality masks are drawn only for tiles
            with several modalities. The GeoJEPA thesis has no kind masks.
        num_targets: number of targets per tile. A modality mask always has one target.
        random_ratio: fraction of a tile's tokens in each target of a random mask.
        area_low, area_high: minimum and maximum area of a target of an area mask, as a fraction of the tile's area.
        aspect: maximum ratio of the longer to the shorter side of a target of an area mask.
        kind_low, kind_high: minimum and maximum of the similarity threshold of kind masks. The threshold is drawn at
            random for each target. Two entities are similar if the cosine similarity of their content vectors is at
            least the threshold. The content vector of an entity is computed from its tags, without its position.
        random_context, area_context, modality_context, kind_context: minimum fraction of a tile's tokens that stay
            visible, for each mask type.
        entity: modality id of entity tokens. Kind masks hide only entities.
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
