"""Settings of masks in training configurations."""

from __future__ import annotations

from pydantic import Field, model_validator

from geojepa_cli.config.numbers import Float, Int, Weight
from geojepa_cli.config.section import ConflictError, Section


class MaskingConfig(Section):
    """Settings of the masks that hide tokens of a tile (GeoJEPA thesis, section 7.6.8, table 14)."""

    random: Weight = Field(default=0.2, description="relative frequency of random masks, which hide random tokens")
    area: Weight = Field(default=0.6, description="relative frequency of area masks, which hide rectangles of the tile")
    modality: Weight = Field(
        default=0.2, description="relative frequency of modality masks, which hide all modalities except one"
    )
    kind: Weight = Field(
        default=0.0,
        description="relative frequency of kind masks, which hide a random entity and all entities with similar tags "
        "(GeoJEPA thesis: 0)",
    )
    pixels: bool = Field(
        default=False,
        description="blank the hidden cells of an image before the frozen image encoder computes the visible tokens, "
        "so that visible tokens do not reveal hidden cells; runs the image encoder in every training step (GeoJEPA "
        "thesis: false)",
    )
    num_targets: Int = Field(
        default=4, ge=1, le=256, description="number of targets (sets of hidden tokens) per tile; modality masks have 1"
    )
    random_ratio: Float = Field(
        default=0.45, gt=0, lt=1, description="random masks: fraction of a tile's tokens that each target hides"
    )
    area_low: Float = Field(
        default=0.35, gt=0, le=1, description="masks that hide rectangles: minimum area as a fraction of the tile"
    )
    area_high: Float = Field(
        default=0.40, gt=0, le=1, description="masks that hide rectangles: maximum area as a fraction of the tile"
    )
    aspect: Float = Field(default=2.0, ge=1, le=1000, description="masks that hide rectangles: maximum aspect ratio")
    kind_low: Float = Field(
        default=0.5,
        ge=-1,
        le=1,
        description="masks that hide similar entities: minimum of the similarity threshold, which is drawn at random "
        "for each target; a target hides a random entity and all entities of the tile whose similarity to it reaches "
        "the threshold",
    )
    kind_high: Float = Field(
        default=0.99,
        ge=-1,
        le=1,
        description="masks that hide similar entities: maximum of the similarity threshold, which is drawn at random "
        "for each target",
    )
    random_context: Float = Field(
        default=0.10, ge=0, lt=1, description="random masks: minimum fraction of a tile's tokens that stay visible"
    )
    area_context: Float = Field(
        default=0.15, ge=0, lt=1, description="masks that hide rectangles: minimum visible fraction of a tile's tokens"
    )
    modality_context: Float = Field(
        default=0.15, ge=0, lt=1, description="masks that hide modalities: minimum visible fraction of a tile's tokens"
    )
    kind_context: Float = Field(
        default=0.10, ge=0, lt=1, description="masks that hide similar entities: minimum visible fraction of the tokens"
    )

    @model_validator(mode="after")
    def _check(self) -> MaskingConfig:
        if self.random + self.area + self.kind <= 0:
            message = "random, area and kind are all 0: tiles with one modality would have no mask"
            raise ConflictError(message, "random", "area", "kind")
        if self.kind_low > self.kind_high:
            message = f"kind_low {self.kind_low} is above kind_high {self.kind_high}"
            raise ConflictError(message, "kind_low", "kind_high")
        if self.area_low > self.area_high:
            message = f"area_low {self.area_low} is above area_high {self.area_high}"
            raise ConflictError(message, "area_low", "area_high")
        return self
