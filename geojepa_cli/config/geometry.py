"""Schema of the configuration of the geometry encoder's training (`geometry.yaml`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.config.schema import MAX_COUNT, MAX_DEPTH, MAX_WIDTH, PretrainConfig, TrainConfig
from geojepa_cli.config.section import ConflictError, Section

Fonts = dict[Annotated[str, Field(max_length=100)], Annotated[str, Field(max_length=100)]]


class PolygonModelConfig(Section):
    """Size of the geometry encoder."""

    dim: int = Field(default=256, ge=8, le=MAX_WIDTH, description="dimension of node vectors and of the result")
    depth: int = Field(default=4, ge=1, le=MAX_DEPTH, description="number of message-passing layers")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout of the vector before the classifier")


class GlyphConfig(Section):
    """Training data: numbers 10 to 99 drawn from font outlines under random affine maps."""

    folder: str = Field(default="/usr/share/fonts", description="folder with the font files, searched recursively")
    train_fonts: Fonts = Field(
        default_factory=dict, description="fonts to train on: Debian package, and pattern of its file names"
    )
    test_fonts: Fonts = Field(
        default_factory=dict, description="fonts to test on: Debian package, and pattern of its file names"
    )
    samples: int = Field(default=10_000, ge=1, le=MAX_COUNT, description="number of multipolygons in an epoch")
    test_samples: int = Field(
        default=1_000, ge=1, le=1_000_000, description="number of test multipolygons from each group of fonts"
    )
    rotation_deg: float = Field(default=180, ge=0, le=180, description="maximum rotation in either direction")
    shear: float = Field(default=0.3, ge=0, le=2, description="maximum shear in either direction")
    stretch: float = Field(default=1.3, ge=1, le=4, description="maximum ratio of one axis to its length before")
    size_low: float = Field(default=0.02, gt=1e-3, le=1, description="minimum height of the digits in tile units")
    size_high: float = Field(default=0.5, gt=1e-3, le=1, description="maximum height of the digits in tile units")
    gap_low: float = Field(default=0.05, gt=0, le=1, description="minimum gap between the digits, in digit heights")
    gap_high: float = Field(default=0.3, gt=0, le=1, description="maximum gap between the digits, in digit heights")

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
    """Complete configuration of a training run of the geometry encoder, except the seed.

    Attributes:
        family: name of the model's architecture, a key of `models.registry.FAMILIES`.
    """

    family: Literal["polygon_gnn"] = Field(default="polygon_gnn", description="architecture of the model")
    model: PolygonModelConfig = PolygonModelConfig()
    glyphs: GlyphConfig = GlyphConfig()
    train: TrainConfig

    @property
    def needs(self) -> Needs:
        """Modalities that the encoder reads."""
        return frozenset({Modality.NODES})


RunConfig = PretrainConfig | GeometryConfig  # configuration of a training run of any family
SCHEMAS: dict[str, type[RunConfig]] = {"jepa": PretrainConfig, "polygon_gnn": GeometryConfig}
