"""Frozen image encoders that configurations can name, and the tokens that they compute for an image."""

from __future__ import annotations

from typing import NamedTuple

PATCH = "patch"  # trained patch embedding
RANDOM = "random"  # weights, and version, of an image encoder with random weights
RANDOM_LABEL = "random image encoder"
DRAWN = "drawn"  # imagery of images that are drawn from the map
DRAWN_LABEL = "drawn images"
DRAWN_ATTRIBUTION = "Drawn images: made from the map by geojepa, no aerial imagery"


class TokenForm(NamedTuple):
    """Tokens that a frozen image encoder computes for an image of 224 × 224 px.

    Attributes:
        dim: width of a token.
        grid: number of square cells along one side of the image. Each cell has a token.
        whole: True if a token of the whole image comes before the tokens of the cells.
    """

    dim: int
    grid: int
    whole: bool

    @property
    def tokens(self) -> int:
        """Number of tokens per image."""
        return self.grid**2 + self.whole


TORCHVISION = ("vit_b_16", "resnet50", "efficientnet_b0")  # image encoders of torchvision
SCALEMAE = "scalemae"  # its tokens depend on the ground resolution of the image
GEOEMBED = "geoembed"
GEOEMBED_VERSION = "sha256-fbd6dd8e3a0f"  # of the weights in geoembed 1.1.2, which the extra `aerial` installs
# the tokens of a convolutional network are the cells of its last feature map
FROZEN_ENCODERS: dict[str, TokenForm] = {
    "vit_b_16": TokenForm(768, 14, True),
    "resnet50": TokenForm(2048, 7, False),
    "efficientnet_b0": TokenForm(1280, 7, False),
    SCALEMAE: TokenForm(1024, 14, True),
    GEOEMBED: TokenForm(512, 7, False),
}
# parameters of these encoders, without their last layer
ENCODER_PARAMETERS = {
    "vit_b_16": 85_798_656,
    "resnet50": 23_508_032,
    "efficientnet_b0": 4_007_548,
    SCALEMAE: 303_099_904,
    GEOEMBED: 11_168_832,
}
RANDOM_SUFFIX = "-random"
# name of a frozen image backbone as a baseline -> image encoder; names with the suffix have random weights
IMAGE_BASELINES: dict[str, str] = {f"{name}{end}": name for end in ("", RANDOM_SUFFIX) for name in FROZEN_ENCODERS}
# the same for backbones that are trained on the labels of a task
TUNED_BASELINES: dict[str, str] = {f"{name}-tuned{end}": name for end in ("", RANDOM_SUFFIX) for name in TORCHVISION}
