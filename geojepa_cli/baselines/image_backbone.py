"""Frozen image backbones: baselines that read only the image of a tile, without training.

The vector of a tile is the pooled vector of the backbone, which its published classifier reads. It is computed from the
image tokens that `process --image-encoder` stores, so the images are encoded once. Sources: ViT (Dosovitskiy et al.
2021), ResNet (He et al. 2016), EfficientNet (Tan and Le 2019).
"""

from __future__ import annotations

import torch

from geojepa_cli.config.images import FROZEN_ENCODERS, IMAGE_BASELINES
from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.store.batch import TileBatch


class ImageBackbone:
    """Frozen image encoder as a baseline.

    The vector of a tile is the class token of a vision transformer. For a convolutional network, it is the mean over
    the cells of the last feature map. A tile without an image has zeros. Entities have vectors without values, because
    an image does not show which entities a tile has.
    """

    name: str
    needs: Needs = frozenset({Modality.IMAGE_TOKENS})

    def __init__(self, inputs: FrozenInputs) -> None:
        encoder = IMAGE_BASELINES[self.name]
        if inputs.images is not None and inputs.images.encoder != encoder:
            raise ValueError(f"{self.name} reads image tokens of {encoder}, got those of {inputs.images}")
        self._form = FROZEN_ENCODERS[encoder]
        self._device = inputs.device

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's tiles [B, C]. Those of entities have no values: [T, 0]."""
        tiles = torch.zeros(len(batch.cu_seqlens) - 1, self._form.dim, device=self._device)
        if batch.image_tokens is not None and batch.image_tiles is not None:
            tokens = batch.image_tokens.float()
            tiles[batch.image_tiles] = tokens[:, 0] if self._form.whole else tokens.mean(1)
        return BatchVectors(tiles.new_zeros(len(batch.tag_offsets) - 1, 0), tiles)


class ViT(ImageBackbone):
    """ViT-B/16 of torchvision, 768 values."""

    name = "vit_b_16"


class ResNet(ImageBackbone):
    """ResNet-50 of torchvision, 2048 values."""

    name = "resnet50"


class EfficientNet(ImageBackbone):
    """EfficientNet-B0 of torchvision, 1280 values."""

    name = "efficientnet_b0"


class GeoEmbed(ImageBackbone):
    """ResNet-18 of the package geoembed, 512 values."""

    name = "geoembed"


class RandomViT(ImageBackbone):
    """ViT-B/16 with random weights."""

    name = "vit_b_16-random"


class RandomResNet(ImageBackbone):
    """ResNet-50 with random weights."""

    name = "resnet50-random"


class RandomEfficientNet(ImageBackbone):
    """EfficientNet-B0 with random weights."""

    name = "efficientnet_b0-random"


class RandomGeoEmbed(ImageBackbone):
    """ResNet-18 of the package geoembed with random weights."""

    name = "geoembed-random"
