"""Schema of configurations for training the geometry encoder, such as `geometry.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.config.numbers import MAX_COUNT
from geojepa_cli.config.schema import MAX_DEPTH, MAX_WIDTH, TrainConfig
from geojepa_cli.config.section import ConflictError, Section

Fonts = dict[Annotated[str, Field(max_length=100)], Annotated[str, Field(max_length=100)]]


class PolygonModelConfig(Section):
    """Settings of the geometry encoder's architecture."""

    dim: int = Field(default=256, ge=8, le=MAX_WIDTH, description="dimension of node vectors and of entity vectors")
    depth: int = Field(default=4, ge=1, le=MAX_DEPTH, description="number of message-passing layers")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="probability of dropout before the classifier")


class GlyphConfig(Section):
    """Settings of the training data: multipolygons in the shape of the numbers 10 to 99, drawn from fonts.

    Each multipolygon is transformed by a random affine map.
    """

    folder: str = Field(
        default="/usr/share/fonts", description="folder with the font files; subfolders are searched too"
    )
    train_fonts: Fonts = Field(
        default_factory=dict, description="training fonts: for each Debian package, a pattern of font file names"
    )
    test_fonts: Fonts = Field(
        default_factory=dict, description="test fonts: for each Debian package, a pattern of font file names"
    )
    samples: int = Field(default=10_000, ge=1, le=MAX_COUNT, description="number of multipolygons in an epoch")
    test_samples: int = Field(
        default=1_000,
        ge=1,
        le=1_000_000,
        description="size of each of the two test sets: multipolygons from the training fonts, and from the test fonts",
    )
    rotation_deg: float = Field(default=180, ge=0, le=180, description="maximum angle of random rotations, in degrees")
    shear: float = Field(
        default=0.3, ge=0, le=2, description="maximum shear to either side: horizontal shift divided by height"
    )
    stretch: float = Field(
        default=1.3,
        ge=1,
        le=4,
        description="maximum stretch: the width of the digits is multiplied by up to this factor, and their height is "
        "divided by it, or vice versa",
    )
    size_low: float = Field(
        default=0.02, gt=1e-3, le=1, description="minimum height of the digits, as a fraction of the tile side"
    )
    size_high: float = Field(
        default=0.5, gt=1e-3, le=1, description="maximum height of the digits, as a fraction of the tile side"
    )
    gap_low: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="minimum gap between the two digits of the drawn number, as a fraction of their height",
    )
    gap_high: float = Field(
        default=0.3, gt=0, le=1, description="maximum gap between the two digits, as a fraction of their height"
    )

    @model_validator(mode="after")
    def _check(self) -> GlyphConfig:
        for low, high in (("size_low", "size_high"), ("gap_low", "gap_high")):
            if getattr(self, low) > getattr(self, high):
                raise ConflictError(f"{low} {getattr(self, low)} is above {high} {getattr(self, high)}", low, high)
        shared = {*self.train_fonts.values()} & {*self.test_fonts.values()}
        if shared:
            raise ValueError(f"train_fonts and test_fonts share {sorted(shared)[0]}")
        return self


class GeometryConfig(Section):
    """Complete configuration of a training run of the geometry encoder, except the random seed.

    Attributes:
        family: name of the model's architecture, a key of `models.registry.FAMILIES`.
    """

    family: Literal["polygon_gnn"] = Field(default="polygon_gnn", description="architecture of the model")
    model: PolygonModelConfig = PolygonModelConfig()
    glyphs: GlyphConfig = GlyphConfig()
    train: TrainConfig

    @property
    def needs(self) -> Needs:
        """Modalities that the encoder reads: only geometry. Batches must contain them."""
        return frozenset({Modality.NODES})
