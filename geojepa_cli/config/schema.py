"""Schema of training configurations. Every numeric setting has a minimum and a maximum."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from geojepa_cli.config.data import DataConfig
from geojepa_cli.config.images import FROZEN_ENCODERS, RANDOM, TokenForm
from geojepa_cli.config.loss import LossConfig
from geojepa_cli.config.masking import MaskingConfig
from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.config.numbers import MAX_COUNT, MAX_WEIGHT, Float, Int, Share
from geojepa_cli.config.section import ConflictError, Section, check_heads
from geojepa_cli.config.watching import WatchConfig

MODEL_MODALITIES = (Modality.TAGS, Modality.GEOMETRY, Modality.IMAGE)  # modalities that a model can read

# Models of tiles need less than these maxima. They catch typing errors before training hangs or runs out of memory.
MAX_WIDTH = 8192
MAX_DEPTH = 256
MAX_PARAMETERS = 4_000_000_000
MAX_TOKENS = 16_777_216  # in a batch
IMAGE_PX = 224  # side length of an image in pixels


class ModelConfig(Section):
    """Settings of the model's architecture. Default sizes: GeoJEPA-T in the GeoJEPA thesis (section 7.6, table 34)."""

    modalities: tuple[Modality, ...] = Field(
        default=(Modality.TAGS,),
        max_length=len(MODEL_MODALITIES),
        description="input modalities: tags, geometry, image",
    )
    tag_dim: Int = Field(default=384, ge=1, le=MAX_WIDTH, description="dimension of the text embeddings of tags")
    embed_dim: Int = Field(default=384, ge=8, le=MAX_WIDTH, description="embedding dimension of the encoders")
    depth: Int = Field(default=12, ge=1, le=MAX_DEPTH, description="number of layers of each encoder")
    num_heads: Int = Field(default=8, ge=1, le=MAX_WIDTH, description="number of attention heads in encoder layers")
    mlp_ratio: Float = Field(
        default=4.0, ge=0.125, le=64, description="ratio of each MLP's hidden dimension to the embedding dimension"
    )
    num_register_tokens: Int = Field(
        default=0, ge=0, le=4096, description="number of trained register tokens that an encoder adds to each tile"
    )
    predictor_dim: Int = Field(default=256, ge=8, le=MAX_WIDTH, description="embedding dimension of the predictor")
    predictor_depth: Int = Field(default=4, ge=1, le=MAX_DEPTH, description="number of layers of the predictor")
    predictor_heads: Int = Field(default=8, ge=1, le=MAX_WIDTH, description="attention heads per predictor layer")
    position: Literal["corners", "rectangle"] = Field(
        default="rectangle",
        description="bounding box encoding: `corners` (GeoJEPA thesis), or `rectangle` (centre, sides and angle)",
    )
    input_weight: Float | None = Field(
        default=1.0,
        ge=0,
        le=MAX_WEIGHT,
        description="null: an encoder's output is the output of its last layer (GeoJEPA thesis); a number: the "
        "output is the sum of the outputs of all layers and of the encoder's input, multiplied by this number",
    )
    null_weight: Float = Field(
        default=0.0,
        ge=0,
        le=MAX_WEIGHT,
        description="number of empty tokens that attention adds to each sequence; with them, an attention head can "
        "distinguish sequences of many tokens from sequences of few; 0 adds none (GeoJEPA thesis)",
    )
    freeze_tags: bool = Field(
        default=False,
        description="do not train the projection of tag embeddings; keep its random weights (GeoJEPA thesis: false)",
    )
    predict_tile: bool = Field(
        default=False, description="also predict a tile's vector from its visible tokens (GeoJEPA thesis: false)"
    )
    shared_context: bool = Field(
        default=False,
        description="the predictor computes the visible (context) tokens of a tile once for all targets, not once for "
        "each; context tokens then do not attend to mask tokens (GeoJEPA thesis: false)",
    )
    pooling: Literal["max_mean", "counts", "sum", "attention"] = Field(
        default="max_mean",
        description="how a tile's vector is computed from its n tokens: `max_mean` (maximum and mean, GeoJEPA thesis), "
        "`counts` (also mean times log n), `sum` (also the sum), or `attention` (learned weights; needs predict_tile)",
    )
    tag_weighting: Literal["mean", "learned"] = Field(
        default="mean",
        description="weights of an entity's tags: `mean`, equal weights (GeoJEPA thesis), or `learned`, trained ones",
    )
    place_weight: Share = Field(
        default=1.0,
        description="weight of tags that say which place or thing it is (names, addresses, references, links) in the "
        "mean over an entity's tags; all other tags have weight 1 (GeoJEPA thesis: 1)",
    )
    number_weight: Float = Field(
        default=0.0,
        ge=0,
        le=MAX_WEIGHT,
        description="weight of the numbers in tags (speed limits, lanes, levels, heights, widths), which are added to "
        "the text embeddings of tags, as sines and cosines of their logarithms; 0: text alone (GeoJEPA thesis)",
    )
    summary_dim: Int = Field(
        default=0,
        ge=0,
        le=MAX_WIDTH,
        description="width of the summary: a layer that reads the pooled vector of a tile, and from which the model "
        "predicts the tags and keys in the tile; the summary becomes a part of the tile vector; 0: no summary (GeoJEPA "
        "thesis)",
    )
    sketch_dim: Int = Field(
        default=0,
        ge=0,
        le=MAX_WIDTH,
        multiple_of=8,
        description="width of the sketch: a fixed random projection of which of 600 frequent tags and keys a tile has, "
        "and how often; it becomes a part of the tile vector and is not trained; 0: no sketch (GeoJEPA thesis)",
    )
    geometry_encoder: Literal["fourier", "polygon_gnn", "gair"] = Field(
        default="fourier",
        description="encoder that computed the geometry vectors (GeoJEPA thesis: `polygon_gnn`); `gair`: those of "
        "`fourier`, followed by the vectors that a GAIR model reads from the images at the entities",
    )
    geometry_dim: Int = Field(default=336, ge=1, le=MAX_WIDTH, description="dimension of the geometry vectors")
    geometry_version: str | None = Field(
        default=None, max_length=100, description="version of the geometry encoder; null: `pretrain` fills it in"
    )
    fusion: Literal["residual", "mlp"] = Field(
        default="residual",
        description="how tags and geometry of an entity become one token: `mlp` is the result of an MLP that reads "
        "both (GeoJEPA thesis); `residual` adds this result to the vector of the tags",
    )
    modality_dropout: Share = Field(
        default=0.3,
        description="fraction of the entities that lose either their tags or their geometry in training; used only if "
        "the model reads geometry",
    )
    image_encoder: Literal["patch", "vit_b_16", "resnet50", "efficientnet_b0", "scalemae", "geoembed"] = Field(
        default="patch",
        description="image encoder: `patch` is a patch embedding that is trained; all others are frozen. `vit_b_16` "
        "(GeoJEPA thesis), `resnet50` and `efficientnet_b0` need torchvision, `scalemae` needs a file with weights, "
        "`geoembed` needs the extra `aerial`",
    )
    image_weights: str | None = Field(
        default=None,
        max_length=4096,
        description="weights of a frozen image encoder: path of a file, or `random` for random weights; null: the file "
        "in torchvision's cache; for `geoembed`, the file in the package geoembed",
    )
    image_version: str | None = Field(
        default=None, max_length=100, description="version of the frozen image encoder; null: `pretrain` fills it in"
    )
    patch_px: Int = Field(default=32, ge=1, le=224, description="width of an image patch in pixels; must divide 224")

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        check_heads(self.embed_dim, self.num_heads)
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
        if self.pooling == "attention" and not self.predict_tile:
            raise ConflictError("pooling `attention` is trained only if predict_tile is true", "pooling")
        if IMAGE_PX % self.patch_px:
            raise ConflictError(f"patch_px {self.patch_px} does not divide 224", "patch_px")
        if Modality.TAGS not in self.modalities:
            raise ConflictError("modalities must include `tags`", "modalities")
        if len(set(self.modalities)) < len(self.modalities):
            raise ConflictError("modalities has a duplicate entry", "modalities")
        if unknown := [modality for modality in self.modalities if modality not in MODEL_MODALITIES]:
            raise ConflictError(f"modalities has `{unknown[0]}`, which no model supports", "modalities")
        return self

    @property
    def frozen_images(self) -> TokenForm | None:
        """Number and width of the tokens of the frozen image encoder. None if the model has no such encoder."""
        return FROZEN_ENCODERS.get(self.image_encoder) if Modality.IMAGE in self.modalities else None

    @property
    def tokens_per_image(self) -> int:
        """Number of tokens of an image; 0 if the model reads no images."""
        if self.frozen_images is not None:
            return self.frozen_images.tokens
        return (IMAGE_PX // self.patch_px) ** 2 if Modality.IMAGE in self.modalities else 0

    @property
    def random_images(self) -> bool:
        """True if the model has a frozen image encoder with random weights."""
        return self.frozen_images is not None and RANDOM in (self.image_weights, self.image_version)


class TrainConfig(WatchConfig):
    """Training settings. Training stops at the first limit that is reached: `max_steps`, `epochs` or `max_minutes`."""

    max_steps: Int | None = Field(
        default=None,
        ge=0,
        le=MAX_COUNT,
        examples=[1000],
        description="maximum number of optimiser steps; 0: save the model without training",
    )
    epochs: Float | None = Field(
        default=None, gt=0, le=MAX_WEIGHT, examples=[10], description="maximum number of passes over the tiles"
    )
    max_minutes: Float | None = Field(
        default=None,
        gt=0,
        le=MAX_WEIGHT,
        examples=[60],
        description="maximum training time in minutes; with this limit, results depend on the speed of the hardware",
    )
    batch_tokens: Int = Field(
        default=8192, ge=1, le=MAX_TOKENS, description="maximum number of tokens in a batch of one process"
    )
    accumulation: Int = Field(
        default=1,
        ge=1,
        le=65_536,
        description="number of batches per optimiser update; the processes of `torchrun` divide the batches among "
        "themselves, so each needs at least one; the trained model does not depend on the number of processes",
    )
    lr: Float = Field(default=1e-3, gt=0, le=100, description="peak learning rate")
    lr_end: Float = Field(default=1e-6, ge=0, le=100, description="final learning rate")
    schedule: Literal["wsd", "cosine"] = Field(
        default="wsd",
        description="learning-rate schedule after the linear warm-up: `wsd` (warmup-stable-decay) keeps the rate "
        "constant, then lowers it linearly; `cosine` lowers it along a cosine (GeoJEPA thesis)",
    )
    warmup: Share = Field(default=0.1, description="fraction of training, at its start, with a rising learning rate")
    cooldown: Share = Field(
        default=0.2, description="`wsd`: fraction of training, at its end, with a falling learning rate"
    )
    weight_decay: Float = Field(default=0.04, ge=0, le=100, description="initial weight decay of weight matrices")
    weight_decay_end: Float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="final weight decay, reached along a cosine (GeoJEPA thesis); null: weight decay is constant",
    )
    beta1: Float = Field(default=0.9, ge=0, lt=1, description="beta1 of AdamW")
    beta2: Float = Field(default=0.95, ge=0, lt=1, description="beta2 of AdamW")
    ema_momentum: Share = Field(default=0.997, description="initial EMA momentum of the target encoder")
    ema_momentum_end: Share | None = Field(
        default=None, description="final EMA momentum, reached linearly (GeoJEPA thesis); null: momentum is constant"
    )
    grad_clip: Float = Field(default=1.0, gt=0, le=MAX_WEIGHT, description="maximum gradient norm (gradient clipping)")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="data type of matrix products")
    compile: bool = Field(
        default=False, description="compile transformer layers with torch.compile; on a CPU, this needs a C++ compiler"
    )
    recompute: bool = Field(
        default=False,
        description="recompute the activations of each transformer layer in the backward pass; training then needs "
        "less memory and more time (activation checkpointing)",
    )
    log_every: Int = Field(default=20, ge=1, le=MAX_COUNT, description="number of steps per line of the training log")
    checkpoint_every: Int = Field(default=100, ge=1, le=MAX_COUNT, description="number of steps between checkpoints")

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.max_steps is None and self.epochs is None and self.max_minutes is None:
            raise ConflictError("set max_steps, epochs or max_minutes", "epochs")
        if self.warmup + self.cooldown > 1:
            message = f"warmup {self.warmup} and cooldown {self.cooldown} add up to more than 1"
            raise ConflictError(message, "warmup", "cooldown")
        return self


class PretrainConfig(Section):
    """Complete configuration of a pretraining run, except the regions and the seed."""

    family: ClassVar[str] = "jepa"  # name of the model's architecture, a key of `models.registry.FAMILIES`

    model: ModelConfig = ModelConfig()
    masking: MaskingConfig = MaskingConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig
    data: DataConfig = DataConfig()

    @model_validator(mode="after")
    def _check(self) -> PretrainConfig:
        if self.masking.pixels and self.model.frozen_images is None:
            raise ConflictError("pixels is true, but the model has no frozen image encoder", "masking.pixels")
        self.loss.check_weights(self.model.modalities, self.model.predict_tile or self.model.summary_dim > 0)
        return self

    @property
    def needs(self) -> Needs:
        """Modalities that the model reads. Batches must contain them."""
        if self.model.frozen_images is None:
            return frozenset(self.model.modalities)
        return frozenset(self.model.modalities) - {Modality.IMAGE} | {Modality.IMAGE_TOKENS}

    @property
    def training_needs(self) -> Needs:
        """Modalities that batches must contain in training. With `masking.pixels`, they include image pixels."""
        return self.needs | {Modality.IMAGE} if self.masking.pixels else self.needs
