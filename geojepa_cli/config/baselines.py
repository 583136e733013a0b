"""Schema of configurations for baselines that train without labels, such as `tag-ae.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from geojepa_cli.config.data import DataConfig
from geojepa_cli.config.modality import TAGS_ONLY, Needs
from geojepa_cli.config.numbers import Float, Int
from geojepa_cli.config.schema import MAX_DEPTH, MAX_WIDTH, TrainConfig
from geojepa_cli.config.section import ConflictError, Section, check_heads

MAX_COLUMNS = 1_000_000
OF_TARGET_ENCODERS = ("ema_momentum", "ema_momentum_end")  # training settings
OF_TRANSFORMERS = ("compile", "recompute")


def check_unused(train: TrainConfig, family: str, keys: Sequence[str]) -> None:
    """Raises a ConflictError if one of the training settings `keys`, which the model does not use, was changed."""
    for key in keys:
        if getattr(train, key) != TrainConfig.model_fields[key].default:
            raise ConflictError(f"{key} has no effect on a model of the family `{family}`", f"train.{key}")


class TagAEModelConfig(Section):
    """Settings of TagAE's architecture.

    The defaults of `columns` and `embed_dim` are those of the GeoJEPA thesis, section 7.4. The thesis does not give the
    width of the decoder's hidden layer (`hidden_dim`).
    """

    columns: Int = Field(
        default=12_500,
        ge=1,
        le=MAX_COLUMNS,
        description="maximum number of different tags to count; rarer tags of the training tiles are ignored",
    )
    embed_dim: Int = Field(default=256, ge=8, le=MAX_WIDTH, description="dimension of tile and entity vectors")
    hidden_dim: Int = Field(default=1024, ge=1, le=MAX_WIDTH, description="width of the decoder's hidden layer")


class _TagsOnlyConfig(Section):
    """Base class of the configurations of models that read only tags."""

    @property
    def needs(self) -> Needs:
        """Modalities that the model reads: only tags. Batches must contain them."""
        return TAGS_ONLY

    @property
    def training_needs(self) -> Needs:
        """Modalities that batches must contain in training: only tags."""
        return TAGS_ONLY


class TagAEConfig(_TagsOnlyConfig):
    """Complete configuration of a training run of TagAE, except the regions and the seed.

    Attributes:
        family: name of the model's architecture, a key of `models.registry.FAMILIES`.
    """

    family: Literal["tag_ae"] = Field(default="tag_ae", description="architecture of the model")
    model: TagAEModelConfig = TagAEModelConfig()
    train: TrainConfig
    data: DataConfig = DataConfig()

    @model_validator(mode="after")
    def _check(self) -> TagAEConfig:
        check_unused(self.train, self.family, OF_TARGET_ENCODERS + OF_TRANSFORMERS)
        return self


class TransformerConfig(Section):
    """Settings of a transformer that reads one token per entity and a class token.

    The default sizes are those of Tagformer in the GeoJEPA thesis, section 6.6. The thesis does not give the numbers of
    layers and heads. With five layers, a Tagformer with one-hot tags has as many parameters as in table 8.
    """

    embed_dim: Int = Field(default=128, ge=8, le=MAX_WIDTH, description="dimension of tokens")
    depth: Int = Field(default=5, ge=1, le=MAX_DEPTH, description="number of layers of the encoder")
    num_heads: Int = Field(default=8, ge=1, le=MAX_WIDTH, description="number of attention heads")
    mlp_ratio: Float = Field(
        default=4.0, ge=0.125, le=64, description="ratio of each MLP's hidden dimension to the embedding dimension"
    )
    box: Literal["corners", "rectangle"] = Field(
        default="rectangle",
        description="bounding box encoding: `corners` (GeoJEPA thesis), or `rectangle` (centre, sides and angle)",
    )

    @model_validator(mode="after")
    def _check(self) -> TransformerConfig:
        check_heads(self.embed_dim, self.num_heads)
        return self


class LmaeModelConfig(TransformerConfig):
    """Settings of TagformerLMAE's architecture (GeoJEPA thesis, section 7.5)."""

    tag_dim: Int = Field(default=384, ge=1, le=MAX_WIDTH, description="dimension of the text embeddings of tags")
    embed_dim: Int = Field(default=256, ge=8, le=MAX_WIDTH, description="dimension of tile and entity vectors")
    decoder_depth: Int = Field(default=2, ge=1, le=MAX_DEPTH, description="number of layers of the decoder")
    mask_ratio: Float = Field(
        default=0.75,
        gt=0,
        lt=1,
        description="fraction of a tile's tokens to hide: the decoder reads mask tokens in their place",
    )
    pooling: Literal["class", "max_mean"] = Field(
        default="class",
        description="vector of a tile: `class`, its class token (GeoJEPA thesis), or `max_mean`, maximum and mean of "
        "its tokens",
    )


class LmaeConfig(_TagsOnlyConfig):
    """Complete configuration of a training run of TagformerLMAE, except the regions and the seed.

    Attributes:
        family: name of the model's architecture, a key of `models.registry.FAMILIES`.
    """

    family: Literal["tagformer_lmae"] = Field(default="tagformer_lmae", description="architecture of the model")
    model: LmaeModelConfig = LmaeModelConfig()
    train: TrainConfig
    data: DataConfig = DataConfig()

    @model_validator(mode="after")
    def _check(self) -> LmaeConfig:
        check_unused(self.train, self.family, OF_TARGET_ENCODERS)
        return self
