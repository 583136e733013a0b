"""Schema of training configurations. Every number has a minimum and a maximum."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.config.numbers import Integer, Number

TOKEN_MODALITIES = (Modality.TAGS, Modality.IMAGE)  # modalities that a model can read

# No tile model needs more. These maxima catch typing errors before training hangs or runs out of memory.
MAX_WIDTH = 8192
MAX_DEPTH = 256
MAX_PARAMETERS = 4_000_000_000
MAX_COUNT = 1_000_000_000  # steps, tiles, entities
MAX_TOKENS = 16_777_216  # in a batch
MAX_SEED = 2**63 - 1
MAX_WEIGHT = 1e6

Weight = Annotated[Number, Field(ge=0, le=MAX_WEIGHT)]
Share = Annotated[Number, Field(ge=0, le=1)]


class ConflictError(ValueError):
    """Values of several keys that cannot be combined.

    Attributes:
        keys: keys of the section whose default values can be combined.
    """

    def __init__(self, message: str, *keys: str) -> None:
        super().__init__(message)
        self.keys = keys


class Section(BaseModel):
    """A section of a configuration. Unknown keys are errors, and the values are read-only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(Section):
    """Architecture of the model. The defaults are those of GeoJEPA-T (thesis 7.6, table 34)."""

    modalities: tuple[Modality, ...] = Field(
        default=(Modality.TAGS,),
        max_length=len(TOKEN_MODALITIES),
        description="modalities that the model reads: tags, image",
    )
    tag_dim: Integer = Field(default=384, ge=1, le=MAX_WIDTH, description="dimension of the text embeddings of tags")
    embed_dim: Integer = Field(default=384, ge=8, le=MAX_WIDTH, description="embedding dimension of both encoders")
    depth: Integer = Field(default=12, ge=1, le=MAX_DEPTH, description="number of layers of each encoder")
    num_heads: Integer = Field(default=8, ge=1, le=MAX_WIDTH, description="number of attention heads of each encoder")
    mlp_ratio: Number = Field(
        default=4.0, ge=0.125, le=64, description="ratio of the hidden dimension to the embedding dimension in the MLPs"
    )
    num_register_tokens: Integer = Field(
        default=0, ge=0, le=4096, description="number of register tokens, which are left out of embeddings"
    )
    predictor_dim: Integer = Field(default=256, ge=8, le=MAX_WIDTH, description="embedding dimension of the predictor")
    predictor_depth: Integer = Field(default=4, ge=1, le=MAX_DEPTH, description="number of layers of the predictor")
    predictor_heads: Integer = Field(default=8, ge=1, le=MAX_WIDTH, description="attention heads of the predictor")
    position: Literal["corners", "rectangle"] = Field(
        default="rectangle",
        description="position encoding: corners of the box (GeoJEPA thesis), or its centre, sides and angle",
    )
    input_weight: Number | None = Field(
        default=1.0,
        ge=0,
        le=MAX_WEIGHT,
        description="weight of the input when layer outputs are summed; null: use the last layer (GeoJEPA thesis)",
    )
    null_weight: Number = Field(
        default=0.0,
        ge=0,
        le=MAX_WEIGHT,
        description="number of zero tokens added to each attention layer; 0: standard softmax (GeoJEPA thesis)",
    )
    freeze_tags: bool = Field(
        default=False,
        description="keep the randomly initialised projection of tag embeddings fixed (GeoJEPA thesis: false)",
    )
    predict_tile: bool = Field(
        default=False,
        description="also predict the vector of the whole tile from that of its context tokens (GeoJEPA thesis: false)",
    )
    image_encoder: Literal["patch"] = Field(default="patch", description="image encoder: a trainable patch embedding")
    patch_px: Integer = Field(
        default=32, ge=1, le=224, description="side length of an image patch in pixels; must divide 224"
    )

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if self.embed_dim % self.num_heads:
            message = f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}"
            raise ConflictError(message, "embed_dim", "num_heads")
        if self.predictor_dim % self.predictor_heads:
            message = f"predictor_dim {self.predictor_dim} is not a multiple of predictor_heads {self.predictor_heads}"
            raise ConflictError(message, "predictor_dim", "predictor_heads")
        parameters = self.depth * self.embed_dim**2 * (4 + 2 * self.mlp_ratio)  # of the layers' matrices
        if parameters > MAX_PARAMETERS:
            raise ConflictError(
                f"an encoder of depth {self.depth} and embed_dim {self.embed_dim} has {parameters / 1e9:,.1f} billion "
                f"parameters, expected at most {MAX_PARAMETERS / 1e9:,.0f} billion",
                *("depth", "embed_dim", "num_heads", "mlp_ratio"),
            )
        if 224 % self.patch_px:
            raise ConflictError(f"patch_px {self.patch_px} does not divide 224", "patch_px")
        if Modality.TAGS not in self.modalities:
            raise ConflictError("modalities must include `tags`", "modalities")
        if len(set(self.modalities)) < len(self.modalities):
            raise ConflictError("modalities has a duplicate entry", "modalities")
        for modality in self.modalities:
            if modality not in TOKEN_MODALITIES:
                raise ConflictError(f"modalities has `{modality}`, which no model supports", "modalities")
        return self


class MaskingConfig(Section):
    """Masking: how context and target tokens are drawn. The defaults are those of thesis 7.6.8, table 14."""

    random: Weight = Field(default=0.2, description="relative weight of random masks")
    area: Weight = Field(default=0.6, description="relative weight of area masks")
    modality: Weight = Field(
        default=0.2, description="relative weight of modality masks; only for tiles with several modalities"
    )
    kind: Weight = Field(
        default=0.0, description="relative weight of kind masks, which hide similar entities (GeoJEPA thesis: 0)"
    )
    num_targets: Integer = Field(
        default=4, ge=1, le=256, description="number of targets in a random, area or kind mask; modality masks have one"
    )
    random_ratio: Number = Field(
        default=0.45, gt=0, lt=1, description="fraction of the tile's tokens in each target of a random mask"
    )
    area_low: Number = Field(
        default=0.35, gt=0, le=1, description="minimum fraction of the tile's area in each target of an area mask"
    )
    area_high: Number = Field(
        default=0.40, gt=0, le=1, description="maximum fraction of the tile's area in each target of an area mask"
    )
    aspect: Number = Field(
        default=2.0, ge=1, le=1000, description="maximum aspect ratio of the targets of an area mask"
    )
    kind_low: Number = Field(
        default=0.5, ge=-1, le=1, description="minimum value of the randomly drawn similarity threshold of kind masks"
    )
    kind_high: Number = Field(
        default=0.99, ge=-1, le=1, description="maximum value of the randomly drawn similarity threshold of kind masks"
    )
    random_context: Number = Field(
        default=0.10, ge=0, lt=1, description="minimum fraction of a tile's tokens in the context with random masks"
    )
    area_context: Number = Field(
        default=0.15, ge=0, lt=1, description="minimum fraction of a tile's tokens in the context with area masks"
    )
    modality_context: Number = Field(
        default=0.15, ge=0, lt=1, description="minimum fraction of a tile's tokens in the context with modality masks"
    )
    kind_context: Number = Field(
        default=0.10, ge=0, lt=1, description="minimum fraction of a tile's tokens in the context with kind masks"
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


def _equal_weights() -> dict[Modality, float]:
    return dict.fromkeys(TOKEN_MODALITIES, 1.0)


class LossConfig(Section):
    """Training loss: latent prediction and a regulariser."""

    smooth_l1_beta: Number = Field(
        default=2.0,
        ge=1e-6,
        le=MAX_WEIGHT,
        description="difference at which the smooth L1 loss turns from quadratic to linear",
    )
    modality_weights: dict[Modality, Weight] = Field(
        default_factory=_equal_weights, description="weight of each modality's mean prediction loss"
    )
    tile_prediction_weight: Weight = Field(
        default=1.0, description="weight of the loss of predicted tile vectors; used with `model.predict_tile`"
    )
    regulariser: Literal["vicreg", "none"] = Field(default="vicreg", description="regulariser that prevents collapse")
    vicreg_beta: Weight = Field(
        default=0.05, description="weight of the regulariser relative to the prediction loss, which has weight 1"
    )
    variance_weight: Weight = Field(default=25.0, description="weight of VICReg's variance term")
    covariance_weight: Weight = Field(default=1.0, description="weight of VICReg's covariance term")
    tile_weight: Weight = Field(
        default=1.0, description="weight of VICReg on tile vectors relative to token vectors (GeoJEPA thesis: 0)"
    )


class TrainConfig(Section):
    """Optimiser, schedules and limits. Training stops as soon as one of the limits that are set is reached."""

    max_steps: Integer | None = Field(
        default=None,
        ge=0,
        le=MAX_COUNT,
        examples=[1000],
        description="maximum number of optimiser steps; 0 publishes the untrained model",
    )
    epochs: Number | None = Field(
        default=None, gt=0, le=MAX_WEIGHT, examples=[10], description="maximum number of passes over the tiles"
    )
    max_minutes: Number | None = Field(
        default=None,
        gt=0,
        le=MAX_WEIGHT,
        examples=[60],
        description="maximum training time in minutes; results then depend on the hardware",
    )
    batch_tokens: Integer = Field(default=8192, ge=1, le=MAX_TOKENS, description="maximum number of tokens in a batch")
    accumulation: Integer = Field(default=1, ge=1, le=65_536, description="number of batches per optimiser step")
    lr: Number = Field(default=1e-3, gt=0, le=100, description="peak learning rate")
    lr_end: Number = Field(default=1e-6, ge=0, le=100, description="final learning rate")
    schedule: Literal["wsd", "cosine"] = Field(
        default="wsd",
        description="learning-rate schedule after the linear warm-up: `wsd` stays constant, then decays linearly "
        "(warmup-stable-decay); `cosine` decays along a cosine (GeoJEPA thesis)",
    )
    warmup: Share = Field(default=0.1, description="fraction of training in which the learning rate rises linearly")
    cooldown: Share = Field(
        default=0.2, description="fraction of training in which the learning rate falls linearly; `wsd` only"
    )
    weight_decay: Number = Field(default=0.04, ge=0, le=100, description="initial weight decay of weight matrices")
    weight_decay_end: Number | None = Field(
        default=None,
        ge=0,
        le=100,
        description="final weight decay of a cosine schedule (GeoJEPA thesis); null: constant weight decay",
    )
    beta1: Number = Field(default=0.9, ge=0, lt=1, description="beta1 of AdamW")
    beta2: Number = Field(default=0.95, ge=0, lt=1, description="beta2 of AdamW")
    ema_momentum: Share = Field(default=0.997, description="initial EMA momentum of the target encoder")
    ema_momentum_end: Share | None = Field(
        default=None, description="final EMA momentum of a linear schedule (GeoJEPA thesis); null: constant momentum"
    )
    grad_clip: Number = Field(default=1.0, gt=0, le=MAX_WEIGHT, description="maximum gradient norm")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="data type of matrix products")
    log_every: Integer = Field(
        default=20, ge=1, le=MAX_COUNT, description="number of steps between lines of metrics.jsonl"
    )
    checkpoint_every: Integer = Field(
        default=100, ge=1, le=MAX_COUNT, description="number of steps between checkpoints"
    )

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.max_steps is None and self.epochs is None and self.max_minutes is None:
            raise ConflictError("set max_steps, epochs or max_minutes", "epochs")
        if self.warmup + self.cooldown > 1:
            message = f"warmup {self.warmup} and cooldown {self.cooldown} add up to more than 1"
            raise ConflictError(message, "warmup", "cooldown")
        return self


class DataConfig(Section):
    """Tiles to train on."""

    min_entities: Integer = Field(
        default=DEFAULT_LIMITS.low, ge=1, le=MAX_COUNT, description="minimum number of entities in a training tile"
    )
    max_entities: Integer = Field(
        default=DEFAULT_LIMITS.high, ge=1, le=MAX_COUNT, description="maximum number of entities in a training tile"
    )
    split_seed: Integer = Field(
        default=0,
        ge=0,
        le=MAX_SEED,
        description="seed of the split into train, validation and test groups; must equal `build-tasks --seed`",
    )
    exclude_test_groups: bool = Field(
        default=True, description="do not train on tiles of the zoom-14 groups in the test split of tasks"
    )

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.min_entities > self.max_entities:
            message = f"min_entities {self.min_entities} is above max_entities {self.max_entities}"
            raise ConflictError(message, "min_entities", "max_entities")
        return self


class PretrainConfig(Section):
    """Configuration of a pretraining run. Regions and seed are not part of it.

    Attributes:
        family: family of the model, a key of `models.registry.FAMILIES`.
    """

    family: ClassVar[str] = "jepa"

    model: ModelConfig = ModelConfig()
    masking: MaskingConfig = MaskingConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig
    data: DataConfig = DataConfig()

    @property
    def needs(self) -> Needs:
        """Modalities that the model reads from a batch."""
        return frozenset(self.model.modalities)
