"""Overhead encoder of GAIR: a vision transformer (ViT, Dosovitskiy et al. 2021) that keeps the map of its tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.layouts import PackedLayout
from geojepa_cli.nn.tokens.image import IMAGE_PX, PatchEmbed
from geojepa_cli.store.tile_parts import TileParts


class OverheadEncoder(nn.Module):
    """Divides images into patches, adds a trained vector of the position of each patch, and runs a transformer.

    Args:
        transformer: transformer of width D.
        embed_dim: width D.
        patch_px: side length of a patch in pixels.
    """

    def __init__(self, transformer: Transformer, embed_dim: int, patch_px: int) -> None:
        super().__init__()
        self.grid = IMAGE_PX // patch_px
        self.embed = PatchEmbed(embed_dim, patch_px)
        self.position = nn.Parameter(torch.zeros(self.grid**2, embed_dim))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.transformer = transformer

    def layout(self, images: int, device: torch.device) -> PackedLayout:
        """Returns the layout of attention for a number of images. It can be computed before the training step."""
        cells = self.grid**2
        return PackedLayout(torch.arange(images + 1, device=device) * cells, cells, images * cells)

    def forward(self, images: Tensor, layout: PackedLayout | None = None) -> Tensor:
        """Encodes images.

        Args:
            images: images with red, green and blue bands. uint8 [N, 3, 224, 224]
            layout: result of `layout` for N images. None: it is computed.
        Returns:
            Tokens of each image, from north to south and, within a row, from west to east. [N, P, D]
        """
        if not len(images):
            return self.position.new_zeros(0, *self.position.shape)
        x = self.embed(images).view(len(images), *self.position.shape) + self.position
        tokens = self.transformer(x.flatten(0, 1), layout or self.layout(len(images), images.device))
        return tokens.view(len(images), *self.position.shape)

    def as_map(self, tokens: Tensor) -> Tensor:
        """Arranges tokens as a map of features. [N, P, D] -> [N, D, grid, grid]"""
        return tokens.transpose(1, 2).unflatten(2, (self.grid, self.grid))


def tile_parts(pooling: str, dim: int) -> TileParts:
    """Returns the name and the width of each part of the result of `pool_tokens`."""
    return (("mean", dim),) if pooling == "mean" else (("max", dim), ("mean", dim))


def pool_tokens(tokens: Tensor, pooling: str) -> Tensor:
    """Pools the tokens of each image to one vector.

    Args:
        tokens: tokens of each image. [N, P, D]
        pooling: `mean`, or `max_mean` for maximum and mean, concatenated.
    Returns:
        Vectors. [N, D], or [N, 2·D] for `max_mean`
    """
    mean = tokens.mean(1)
    return mean if pooling == "mean" else torch.cat([tokens.amax(1), mean], dim=1)
