"""Frozen image backbones: baselines that read only the image of a tile, without training.

The vector of a tile is the pooled vector of the backbone, which its published classifier reads. It is computed from the
image tokens that `process --image-encoder` stores, so the images are encoded once. Sources: ViT (Dosovitskiy et al.
2021), ResNet (He et al. 2016), EfficientNet (Tan and Le 2019), ScaleMAE (Reed et al. 2023).
"""

from __future__ import annotations

import torch

from geojepa_cli.config.images import FROZEN_ENCODERS, IMAGE_BASELINES
from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.models.image_encoders import pool
from geojepa_cli.store.batch import TileBatch


class ImageBackbone:
    """Frozen image encoder as a baseline.

    The vector of a tile is pooled from the tokens of its image (see `pool`). A tile without an image has zeros.
    Entities have vectors without values, because an image does not show which entities a tile has.

    Args:
        inputs: encoder of the image tokens.
        name: name of the baseline, a key of `IMAGE_BASELINES`.
    """

    needs: Needs = frozenset({Modality.IMAGE_TOKENS})

    def __init__(self, inputs: FrozenInputs, name: str) -> None:
        encoder = IMAGE_BASELINES[name]
        if inputs.images is not None and inputs.images.encoder != encoder:
            raise ValueError(f"{name} reads image tokens of {encoder}, got those of {inputs.images}")
        self.name = name
        self._form = FROZEN_ENCODERS[encoder]
        self._device = inputs.device

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's tiles [B, C]. Those of entities have no values: [T, 0]."""
        tiles = torch.zeros(len(batch.cu_seqlens) - 1, self._form.dim, device=self._device)
        if batch.image_tokens is not None and batch.image_tiles is not None:
            tiles[batch.image_tiles] = pool(batch.image_tokens.float(), self._form)
        return BatchVectors(tiles.new_zeros(len(batch.tag_offsets) - 1, 0), tiles)
