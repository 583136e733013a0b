"""Schema of configurations for baselines that `probe` trains on the labels of a task, such as `tagformer-p`."""

from __future__ import annotations

from importlib import resources
from typing import Any, Literal

from pydantic import Field, model_validator

from geojepa_cli.config.baselines import MAX_COLUMNS, TransformerConfig
from geojepa_cli.config.images import TUNED_BASELINES
from geojepa_cli.config.numbers import Float, Int, Share
from geojepa_cli.config.schema import IMAGE_PX, MAX_TOKENS, MAX_WIDTH, TrainConfig
from geojepa_cli.config.section import ConflictError, Section
from geojepa_cli.config.yaml import parse_yaml

PRESETS = "geojepa_cli.config.presets"
LETTERS = {"": "", "-p": "p", "-s": "s", "-sp": "sp"}  # ending of the name -> inputs in addition to one-hot tags


class LabelFitConfig(Section):
    """Settings of a training run on the labels of a task, whatever the model reads."""

    epochs: Int = Field(default=25, ge=1, le=100_000, description="maximum number of passes over the training tiles")
    patience: Int = Field(
        default=10,
        ge=1,
        le=100_000,
        description="training stops after this number of epochs without a lower error on the validation tiles",
    )
    lr: Float = Field(default=1e-3, gt=0, le=100, description="peak learning rate")
    warmup: Share = Field(default=0.1, description="fraction of training, at its start, with a rising learning rate")
    weight_decay: Float = Field(default=0.04, ge=0, le=100, description="weight decay of weight matrices")

    def schedule(self) -> TrainConfig:
        """Returns the settings of the optimiser and of its learning rate, which falls along a cosine."""
        return TrainConfig(
            epochs=self.epochs, lr=self.lr, warmup=self.warmup, weight_decay=self.weight_decay, schedule="cosine"
        )


class FitConfig(LabelFitConfig):
    """Settings of a training run of a model that reads tags."""

    batch_tokens: Int = Field(default=8192, ge=1, le=MAX_TOKENS, description="maximum number of tokens in a batch")

    @property
    def batch_budget(self) -> int:
        """Maximum number of tokens in a batch."""
        return self.batch_tokens

    @property
    def lr_shares(self) -> dict[str, float]:
        """Learning rates that differ from `lr`, as shares of it, by the start of the parameters' names."""
        return {}


class TuneFitConfig(LabelFitConfig):
    """Settings of a training run of an image backbone and its head."""

    lr: Float = Field(default=1e-3, gt=0, le=100, description="peak learning rate of the head")
    backbone_lr: Float = Field(
        default=1e-4, gt=0, le=100, description="peak learning rate of the backbone, at most that of the head"
    )
    batch_images: Int = Field(default=32, ge=1, le=4096, description="maximum number of tiles in a batch")

    @model_validator(mode="after")
    def _check_rates(self) -> TuneFitConfig:
        if self.backbone_lr > self.lr:
            raise ConflictError(f"backbone_lr {self.backbone_lr:g} is above lr {self.lr:g}", "backbone_lr", "lr")
        return self

    @property
    def batch_budget(self) -> int:
        """Maximum cost of a batch: every tile costs 1."""
        return self.batch_images

    @property
    def lr_shares(self) -> dict[str, float]:
        """Learning rates that differ from `lr`, as shares of it, by the start of the parameters' names."""
        return {"backbone.": self.backbone_lr / self.lr}


class TagformerModelConfig(TransformerConfig):
    """Settings of Tagformer's architecture (GeoJEPA thesis, section 6.6)."""

    inputs: Literal["", "p", "s", "sp"] = Field(
        default="",
        description="p: also read bounding boxes; s: read text embeddings of tags instead of one column per tag",
    )
    columns: Int | None = Field(
        default=12_500,
        ge=1,
        le=MAX_COLUMNS,
        description="maximum number of tags that have a column; rarer tags of the training tiles are ignored; null: no "
        "columns, because the model reads text embeddings of tags",
    )
    null_weight: Float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="number of empty tokens that attention adds to each sequence; with them, an attention head can "
        "distinguish sequences of many tokens from sequences of few; 0 adds none (GeoJEPA thesis)",
    )

    @model_validator(mode="after")
    def _check_columns(self) -> TagformerModelConfig:
        if ("s" in self.inputs) != (self.columns is None):
            raise ConflictError("tags have either columns or text embeddings (`s` in inputs)", "columns", "inputs")
        return self


class TagformerConfig(Section):
    """Complete configuration of a Tagformer, except the seed."""

    model: TagformerModelConfig = TagformerModelConfig()
    train: FitConfig = FitConfig()


class TagCountModelConfig(Section):
    """Settings of TagCountMLP's architecture (GeoJEPA thesis, section 6.5)."""

    columns: Int = Field(
        default=12_500,
        ge=1,
        le=MAX_COLUMNS,
        description="maximum number of different tags to count; rarer tags of the training tiles are ignored",
    )
    embed_dim: Int = Field(default=256, ge=8, le=MAX_WIDTH, description="width of the projected counts")


class TagCountConfig(Section):
    """Complete configuration of a TagCountMLP, except the seed."""

    model: TagCountModelConfig = TagCountModelConfig()
    train: FitConfig = FitConfig()


class TuneModelConfig(Section):
    """Settings of an image backbone that is trained on the labels of a task."""

    encoder: Literal["vit_b_16", "resnet50", "efficientnet_b0"] = Field(
        default="resnet50", description="network of torchvision, without its classifier"
    )
    image_px: Int = Field(
        default=IMAGE_PX,
        ge=32,
        le=IMAGE_PX,
        multiple_of=32,
        description="side in pixels to which images are reduced; half the side costs about a quarter",
    )


class TuneConfig(Section):
    """Complete configuration of an image backbone that is trained on the labels of a task, except the seed."""

    model: TuneModelConfig = TuneModelConfig()
    train: TuneFitConfig = TuneFitConfig()


SupervisedConfig = TagformerConfig | TagCountConfig | TuneConfig


def load_tuned(name: str) -> TuneConfig:
    """Returns the configuration of an image backbone, such as `resnet50-tuned`, a key of `TUNED_BASELINES`."""
    raw = _read("tuned.yaml")
    raw["model"]["encoder"] = TUNED_BASELINES[name]
    return TuneConfig.model_validate(raw)


def load_tagformer(name: str) -> TagformerConfig:
    """Returns the configuration of a Tagformer.

    Args:
        name: name of the model, such as `tagformer-sp`. `paper-tagformer-sp` has about the size in the GeoJEPA thesis.
    """
    preset, _, letters = name.partition("tagformer")
    raw = _read(f"{preset}tagformer.yaml")
    raw["model"]["inputs"] = LETTERS[letters]
    if "s" in LETTERS[letters]:
        raw["model"]["columns"] = None
    return TagformerConfig.model_validate(raw)


def load_tag_count_mlp(name: str) -> TagCountConfig:
    """Returns the configuration of a TagCountMLP.

    Args:
        name: `tag-count-mlp`, or `paper-tag-count-mlp` for the size in the GeoJEPA thesis.
    """
    return TagCountConfig.model_validate(_read(f"{name}.yaml"))


def _read(name: str) -> Any:
    return parse_yaml((resources.files(PRESETS) / "supervised" / name).read_text(encoding="utf-8"))
