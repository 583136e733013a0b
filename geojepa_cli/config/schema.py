"""Schema of training configurations. Every number has a lower and an upper limit."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.config.modality import Modality, Needs

TOKEN_MODALITIES = (Modality.TAGS, Modality.IMAGE)  # that a model can read

# Beyond any tile model that was ever trained. They catch slips of the keyboard before these hang or fill the memory.
MAX_WIDTH = 8192
MAX_DEPTH = 256
MAX_PARAMETERS = 4_000_000_000
MAX_COUNT = 1_000_000_000  # steps, tiles, entities
MAX_TOKENS = 16_777_216  # of a batch
MAX_SEED = 2**63 - 1
MAX_WEIGHT = 1e6

Weight = Annotated[float, Field(ge=0, le=MAX_WEIGHT)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of a configuration: unknown keys are errors, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(Section):
    """The network. Defaults: GeoJEPA-T (thesis 7.6, table 34)."""

    modalities: tuple[Modality, ...] = Field(
        default=(Modality.TAGS,), max_length=len(TOKEN_MODALITIES), description="data that becomes tokens: tags, image"
    )
    tag_dim: int = Field(default=384, ge=1, le=MAX_WIDTH, description="width of the text embeddings of tags")
    embed_dim: int = Field(default=384, ge=8, le=MAX_WIDTH, description="width of both encoders")
    depth: int = Field(default=12, ge=1, le=MAX_DEPTH, description="layers of each encoder")
    num_heads: int = Field(default=8, ge=1, le=MAX_WIDTH, description="attention heads of each encoder")
    mlp_ratio: float = Field(
        default=4.0, ge=0.125, le=64, description="hidden width of the MLPs divided by their width"
    )
    num_register_tokens: int = Field(default=0, ge=0, le=4096, description="extra tokens, never part of an embedding")
    predictor_dim: int = Field(default=256, ge=8, le=MAX_WIDTH, description="width of the predictor")
    predictor_depth: int = Field(default=4, ge=1, le=MAX_DEPTH, description="layers of the predictor")
    predictor_heads: int = Field(default=8, ge=1, le=MAX_WIDTH, description="attention heads of the predictor")
    position: Literal["corners", "rectangle"] = Field(
        default="rectangle", description="`corners`: the box's 8 numbers (thesis); `rectangle`: centre, sides, angle"
    )
    input_weight: float | None = Field(
        default=1.0,
        ge=0,
        le=MAX_WEIGHT,
        description="weight of a token's input in its output; none: last layer only",
    )
    null_weight: float = Field(
        default=0.0,
        ge=0,
        le=MAX_WEIGHT,
        description="attention to nothing, in tokens; 0: softmax (thesis)",
    )
    freeze_tags: bool = Field(
        default=False, description="keep the initial random projection of tag embeddings (thesis: trained)"
    )
    predict_tile: bool = Field(
        default=False, description="also predict the whole tile's vector from the context's (thesis: no)"
    )
    image_encoder: Literal["patch"] = Field(default="patch", description="`patch`: trainable patch embedding")
    patch_px: int = Field(default=32, ge=1, le=224, description="side of an image patch, divides 224")

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}")
        if self.predictor_dim % self.predictor_heads:
            raise ValueError(
                f"predictor_dim {self.predictor_dim} is not a multiple of predictor_heads {self.predictor_heads}"
            )
        parameters = self.depth * self.embed_dim**2 * (4 + 2 * self.mlp_ratio)  # of the layers' matrices
        if parameters > MAX_PARAMETERS:
            raise ValueError(
                f"an encoder of depth {self.depth} and embed_dim {self.embed_dim} has {parameters / 1e9:,.1f} billion "
                f"parameters, expected at most {MAX_PARAMETERS / 1e9:,.0f} billion"
            )
        if 224 % self.patch_px:
            raise ValueError(f"patch_px {self.patch_px} does not divide 224")
        if Modality.TAGS not in self.modalities:
            raise ValueError("modalities must include `tags`")
        if len(set(self.modalities)) < len(self.modalities):
            raise ValueError("modalities has an entry twice")
        for modality in self.modalities:
            if modality not in TOKEN_MODALITIES:
                raise ValueError(f"modalities has `{modality}`, which no model reads yet")
        return self


class MaskingConfig(Section):
    """Drawing of context and targets. Defaults: thesis 7.6.8, table 14."""

    random: Weight = Field(default=0.2, description="odds of random masks")
    area: Weight = Field(default=0.6, description="odds of area masks")
    modality: Weight = Field(default=0.2, description="odds of modality masks, in tiles of several modalities")
    kind: Weight = Field(default=0.0, description="odds of masks of similar entities (thesis: 0)")
    num_targets: int = Field(default=4, ge=1, le=256, description="targets of random, area and kind masks")
    random_ratio: float = Field(default=0.45, gt=0, lt=1, description="share of the tokens in a random target")
    area_low: float = Field(default=0.35, gt=0, le=1, description="smallest share of the tile's area in an area target")
    area_high: float = Field(default=0.40, gt=0, le=1, description="largest share of it")
    aspect: float = Field(default=2.0, ge=1, le=1000, description="largest aspect ratio of an area target")
    kind_low: float = Field(default=0.5, ge=-1, le=1, description="similarity (cosine) within a kind target, from")
    kind_high: float = Field(default=0.99, ge=-1, le=1, description="similarity within a kind target, to")
    random_context: float = Field(
        default=0.10, ge=0, lt=1, description="smallest share of tokens that stays context, random masks"
    )
    area_context: float = Field(default=0.15, ge=0, lt=1, description="the same for area masks")
    modality_context: float = Field(default=0.15, ge=0, lt=1, description="the same for modality masks")
    kind_context: float = Field(default=0.10, ge=0, lt=1, description="the same for kind masks")

    @model_validator(mode="after")
    def _check(self) -> MaskingConfig:
        if self.random + self.area + self.kind <= 0:
            raise ValueError("random, area and kind are all 0: tiles of one modality would have no mask")
        if self.kind_low > self.kind_high:
            raise ValueError(f"kind_low {self.kind_low} is above kind_high {self.kind_high}")
        if self.area_low > self.area_high:
            raise ValueError(f"area_low {self.area_low} is above area_high {self.area_high}")
        return self


def _equal_weights() -> dict[Modality, float]:
    return dict.fromkeys(TOKEN_MODALITIES, 1.0)


class LossConfig(Section):
    """Latent prediction and regulariser."""

    smooth_l1_beta: float = Field(
        default=2.0, ge=1e-6, le=MAX_WEIGHT, description="difference at which smooth L1 turns from quadratic to linear"
    )
    modality_weights: dict[Modality, Weight] = Field(
        default_factory=_equal_weights, description="weights of the modalities' mean losses"
    )
    tile_prediction_weight: Weight = Field(
        default=1.0, description="weight of the predicted tile vector (`model.predict_tile`)"
    )
    regulariser: Literal["vicreg", "none"] = Field(default="vicreg", description="against collapse")
    vicreg_beta: Weight = Field(default=0.05, description="weight of the regulariser; the prediction's is 1")
    variance_weight: Weight = Field(default=25.0, description="weight of VICReg's variance term")
    covariance_weight: Weight = Field(default=1.0, description="weight of VICReg's covariance term")
    tile_weight: Weight = Field(default=1.0, description="weight of both terms on tile vectors (thesis: 0)")


class TrainConfig(Section):
    """Optimiser, schedules and limits. Training stops at the first limit that is set and reached."""

    max_steps: int | None = Field(
        default=None, ge=0, le=MAX_COUNT, description="optimiser steps; 0 publishes the untrained model"
    )
    epochs: float | None = Field(default=None, gt=0, le=MAX_WEIGHT, examples=[10], description="passes over the tiles")
    max_minutes: float | None = Field(
        default=None, gt=0, le=MAX_WEIGHT, description="wall-clock limit; results cannot be repeated exactly"
    )
    batch_tokens: int = Field(default=8192, ge=1, le=MAX_TOKENS, description="token budget of a batch")
    accumulation: int = Field(default=1, ge=1, le=65_536, description="batches per optimiser step")
    lr: float = Field(default=1e-3, gt=0, le=100, description="peak learning rate")
    lr_end: float = Field(default=1e-6, ge=0, le=100, description="final learning rate")
    schedule: Literal["wsd", "cosine"] = Field(
        default="wsd", description="after the warm-up: `wsd` constant, then a linear cool-down; `cosine` (thesis)"
    )
    warmup: Share = Field(default=0.1, description="share of the training that warms up")
    cooldown: Share = Field(default=0.2, description="share that cools down (`wsd`)")
    weight_decay: float = Field(default=0.04, ge=0, le=100, description="weight decay of matrices")
    weight_decay_end: float | None = Field(
        default=None, ge=0, le=100, description="cosine to this (thesis); none: constant"
    )
    beta1: float = Field(default=0.9, ge=0, lt=1, description="AdamW")
    beta2: float = Field(default=0.95, ge=0, lt=1, description="AdamW")
    ema_momentum: Share = Field(default=0.997, description="momentum of the target encoder")
    ema_momentum_end: Share | None = Field(default=None, description="linear to this (thesis); none: constant")
    grad_clip: float = Field(default=1.0, gt=0, le=MAX_WEIGHT, description="largest norm of the gradient")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="of the matrix products")
    log_every: int = Field(default=20, ge=1, le=MAX_COUNT, description="steps between lines of metrics.jsonl")
    checkpoint_every: int = Field(default=100, ge=1, le=MAX_COUNT, description="steps between checkpoints")

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.max_steps is None and self.epochs is None and self.max_minutes is None:
            raise ValueError("set max_steps, epochs or max_minutes")
        if self.warmup + self.cooldown > 1:
            raise ValueError(f"warmup {self.warmup} and cooldown {self.cooldown} add up to more than 1")
        return self


class DataConfig(Section):
    """Tiles to train on."""

    min_entities: int = Field(
        default=DEFAULT_LIMITS.low, ge=1, le=MAX_COUNT, description="tiles with fewer are left out"
    )
    max_entities: int = Field(
        default=DEFAULT_LIMITS.high, ge=1, le=MAX_COUNT, description="tiles with more are left out"
    )
    split_seed: int = Field(
        default=0, ge=0, le=MAX_SEED, description="seed of the tasks' split into train, val and test groups"
    )
    exclude_test_groups: bool = Field(default=True, description="leave out the zoom-14 groups that the tasks test on")

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.min_entities > self.max_entities:
            raise ValueError(f"min_entities {self.min_entities} is above max_entities {self.max_entities}")
        return self


class PretrainConfig(Section):
    """A pretraining run, except its data and seed.

    Attributes:
        family: of models, a key of `models.registry.FAMILIES`.
    """

    family: ClassVar[str] = "jepa"

    model: ModelConfig = ModelConfig()
    masking: MaskingConfig = MaskingConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig
    data: DataConfig = DataConfig()

    @property
    def needs(self) -> Needs:
        """Modalities that batches are read with."""
        return frozenset(self.model.modalities)
