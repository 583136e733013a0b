"""Schema of configurations for GAIR, such as `gair.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from geojepa_cli.config.baselines import OF_TARGET_ENCODERS, check_unused
from geojepa_cli.config.data import DataConfig
from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.config.numbers import MAX_WEIGHT, Float, Int, Share, Weight
from geojepa_cli.config.schema import IMAGE_PX, MAX_DEPTH, MAX_WIDTH, TrainConfig
from geojepa_cli.config.section import ConflictError, Section, check_heads

MAX_SIGMA = 1e6  # features of this scale differ within 3 m
MAX_DEGREE = 64
MAX_QUEUE = 1_048_576
MAX_QUERIES = 65_536
MAX_DISTANCE_M = 100_000
MAX_NOISE_M = 300  # with more, most points would lie outside their tile

Sigma = Annotated[Float, Field(gt=0, le=MAX_SIGMA)]


class GairModelConfig(Section):
    """Settings of GAIR's architecture. All vectors that are compared have the width `embed_dim`."""

    tag_dim: Int = Field(default=384, ge=1, le=MAX_WIDTH, description="dimension of the text embeddings of tags")
    embed_dim: Int = Field(default=256, ge=8, le=MAX_WIDTH, description="dimension of all vectors")
    depth: Int = Field(default=4, ge=1, le=MAX_DEPTH, description="number of layers of the overhead encoder")
    num_heads: Int = Field(default=8, ge=1, le=MAX_WIDTH, description="attention heads in overhead encoder layers")
    mlp_ratio: Float = Field(
        default=4.0, ge=0.125, le=64, description="ratio of each MLP's hidden dimension to the embedding dimension"
    )
    patch_px: Int = Field(default=16, ge=1, le=IMAGE_PX, description="width of an image patch in pixels; divides 224")
    pooling: Literal["mean", "max_mean"] = Field(
        default="mean",
        description="how a tile's vector is computed from the overhead encoder's tokens: `mean` (GAIR), or `max_mean` "
        "(maximum and mean, as in the other models of geojepa)",
    )
    decoder: Literal["mlp", "linear", "bilinear", "nearest", "centre", "mean"] = Field(
        default="mlp",
        description="how the overhead features are read at a point: `mlp` (LIIF), `linear` (GAIR), `bilinear` "
        "interpolation, or the `nearest` cell; `centre` and `mean` ignore the point (baselines)",
    )
    decoder_dim: Int = Field(
        default=256, ge=1, le=MAX_WIDTH, description="width of the hidden layer of the decoder `mlp`"
    )
    place_weight: Share = Field(
        default=0.05,
        description="weight of tags that say which place or thing it is (names, addresses, references, links) in the "
        "mean over an entity's tags; all other tags have weight 1",
    )
    location_encoding: Literal["fourier", "harmonics"] = Field(
        default="fourier",
        description="features of a location: `fourier`, random Fourier features of the Equal Earth projection (GAIR), "
        "or `harmonics`, spherical harmonics",
    )
    location_sigmas: tuple[Sigma, ...] = Field(
        default=(1.0, 16.0, 256.0, 4096.0, 16384.0),
        min_length=1,
        max_length=32,
        description="scales of the Fourier features; places differ from about 2,740 km divided by the scale (GAIR: 1, "
        "16, 256)",
    )
    location_features: Int = Field(
        default=128, ge=1, le=MAX_WIDTH, description="number of frequencies per scale (GAIR: 256)"
    )
    location_dim: Int = Field(
        default=256, ge=1, le=MAX_WIDTH, description="width of the hidden layers of the location encoder (GAIR: 1024)"
    )
    location_layers: Int = Field(
        default=2, ge=1, le=MAX_DEPTH, description="number of hidden layers of the location encoder (GAIR: 3)"
    )
    harmonics_degree: Int = Field(
        default=20, ge=1, le=MAX_DEGREE, description="highest degree of the spherical harmonics"
    )

    @model_validator(mode="after")
    def _check(self) -> GairModelConfig:
        check_heads(self.embed_dim, self.num_heads)
        if IMAGE_PX % self.patch_px:
            raise ConflictError(f"patch_px {self.patch_px} does not divide {IMAGE_PX}", "patch_px")
        return self

    @property
    def grid(self) -> int:
        """Number of cells along one side of an image."""
        return IMAGE_PX // self.patch_px

    @property
    def tokens_per_image(self) -> int:
        """Number of tokens of an image."""
        return self.grid**2

    @property
    def tile_width(self) -> int:
        """Number of values of a tile vector."""
        return self.embed_dim * (2 if self.pooling == "max_mean" else 1)


class GroundConfig(Section):
    """Settings of the points at which an image is compared with what stands there."""

    queries: Int = Field(
        default=512,
        ge=1,
        le=MAX_QUERIES,
        description="maximum number of entities per batch that are compared with their images; the tiles of the batch "
        "have equal shares, as far as they have entities",
    )
    coordinate_noise_m: Float = Field(
        default=0.0,
        ge=0,
        le=MAX_NOISE_M,
        description="standard deviation of the noise that is added to each coordinate of the points, in metres; points "
        "outside their tile are left out",
    )
    photos: bool = Field(
        default=False,
        description="also compare street-level photos of `fetch --photos` with the images at their places",
    )
    photo_queries: Int = Field(
        default=32, ge=1, le=MAX_QUERIES, description="maximum number of photos per batch; only with `photos`"
    )
    photo_patch_px: Int = Field(
        default=16, ge=1, le=IMAGE_PX, description="width of a patch of a photo in pixels; divides 224"
    )
    photo_depth: Int = Field(default=4, ge=1, le=MAX_DEPTH, description="number of layers of the encoder of photos")

    @model_validator(mode="after")
    def _check(self) -> GroundConfig:
        if IMAGE_PX % self.photo_patch_px:
            raise ConflictError(f"photo_patch_px {self.photo_patch_px} does not divide {IMAGE_PX}", "photo_patch_px")
        return self

    @property
    def photo_patches(self) -> int:
        """Number of patches of a photo."""
        return (IMAGE_PX // self.photo_patch_px) ** 2


class GairLossConfig(Section):
    """Settings of GAIR's losses."""

    temperature: Float = Field(default=0.07, ge=1e-3, le=100, description="temperature of all contrastive losses")
    image_weight: Weight = Field(
        default=0.5, description="weight of the loss between the ground and the image at its place (INCL)"
    )
    location_weight: Weight = Field(
        default=0.5, description="weight of the loss between ground or image and the location (SECL)"
    )
    queue: Int = Field(
        default=4096,
        ge=0,
        le=MAX_QUEUE,
        description="number of earlier locations that serve as negatives; 0: the location encoder is not trained",
    )
    false_negative_m: Float = Field(
        default=20.0,
        ge=0,
        le=MAX_DISTANCE_M,
        description="places closer than this many metres are no negatives of each other; 0: all are (GAIR)",
    )
    equal_tags: bool = Field(
        default=True,
        description="entities with equal tags are no negatives of each other; names, addresses, references and links "
        "do not count",
    )
    anchor_weight: Float = Field(
        default=0.0,
        ge=0,
        le=MAX_WEIGHT,
        description="weight of the similarity of ground and tile vectors to those of the initial weights, which is "
        "maximised (GAIR: 0.2, with pretrained initial weights)",
    )


class GairConfig(Section):
    """Complete configuration of a training run of GAIR, except the regions and the seed.

    Attributes:
        family: name of the model's architecture, a key of `models.registry.FAMILIES`.
    """

    family: Literal["gair"] = Field(default="gair", description="architecture of the model")
    model: GairModelConfig = GairModelConfig()
    ground: GroundConfig = GroundConfig()
    loss: GairLossConfig = GairLossConfig()
    train: TrainConfig
    data: DataConfig = DataConfig()

    @model_validator(mode="after")
    def _check(self) -> GairConfig:
        check_unused(self.train, self.family, OF_TARGET_ENCODERS)
        return self

    @property
    def needs(self) -> Needs:
        """Modalities that the vectors of tiles and entities depend on: images, and the geometry of entities."""
        return frozenset({Modality.IMAGE, Modality.NODES})

    @property
    def training_needs(self) -> Needs:
        """Modalities that batches must contain in training. They include the tags of entities."""
        return self.needs | {Modality.TAGS}
