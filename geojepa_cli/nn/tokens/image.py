"""Image tokens: a trained linear projection of image patches, or of the tokens of a frozen image encoder.

A frozen image encoder is trained in advance, and each of its tokens contains information about the whole image. So
visible tokens can reveal hidden tokens. To prevent this, the hidden parts of an image can be blanked before the encoder
reads the image (docs/adr/0017).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

IMAGE_PX = 224


class ImageTensors(Protocol):
    """Images of a batch, as pixels or as tokens of a frozen image encoder.

    Attributes:
        images: images of those tiles that have one. None for a batch without pixels. uint8 [N, 3, 224, 224]
        image_tokens: tokens of the same images. None for a batch without tokens. float16 [N, P, C]
    """

    images: Tensor | None
    image_tokens: Tensor | None


class FrozenForm(NamedTuple):
    """Width and number of the tokens that a frozen image encoder computes for an image.

    Attributes:
        dim: width C of a token.
        grid: number of square cells along one side of the image. Each cell has a token.
        whole: True if the first token is one for the whole image, before the tokens of the cells.
    """

    dim: int
    grid: int
    whole: bool


def patch_boxes(grid: int) -> Tensor:
    """Returns the bounding boxes of the patches of an image.

    The rows of patches are ordered from north to south, and the patches of a row from west to east.

    Args:
        grid: number of patches along one side of the image.
    Returns:
        Four corners (x, y) of each patch in tile units, counter-clockwise. [grid², 8]
    """
    step = 1.0 / grid
    row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    west, south = column.flatten() * step, 1.0 - (row.flatten() + 1) * step
    east, north = west + step, south + step
    return torch.stack([west, south, east, south, east, north, west, north], dim=1)


class PatchEmbed(nn.Module):
    """Divides images of 224 × 224 px into square patches and projects each linearly (Dosovitskiy et al. 2021).

    Args:
        embed_dim: width D.
        patch_px: side length of a patch in pixels. It must divide 224.
    """

    boxes: Tensor

    def __init__(self, embed_dim: int, patch_px: int) -> None:
        super().__init__()
        if IMAGE_PX % patch_px:
            raise ValueError(f"patch_px {patch_px} does not divide {IMAGE_PX}")
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_px, stride=patch_px)
        self.register_buffer("boxes", patch_boxes(IMAGE_PX // patch_px), persistent=False)

    @property
    def patches(self) -> int:
        """Number of patches per image."""
        return len(self.boxes)

    def select(self, batch: ImageTensors) -> Tensor | None:
        """Returns the input of this module: the images of a batch, or None if the batch has no images."""
        return batch.images

    def forward(self, images: Tensor) -> Tensor:
        """Computes one vector for each patch of each image. The patches are in the order of `patch_boxes`.

        Args:
            images: images with red, green and blue bands. uint8 [N, 3, 224, 224]
        Returns:
            Patch vectors, image by image. [N·patches, D]
        """
        scaled = images.to(self.proj.weight.dtype) / 127.5 - 1.0
        return self.proj(scaled).flatten(2).transpose(1, 2).reshape(-1, self.proj.out_channels)


class FrozenEmbed(nn.Module):
    """Projects the tokens of a frozen image encoder linearly (GeoJEPA thesis, section 7.6.2).

    Args:
        embed_dim: width D.
        form: width and number of the tokens of the frozen image encoder.
    """

    boxes: Tensor

    def __init__(self, embed_dim: int, form: FrozenForm) -> None:
        super().__init__()
        self.proj = nn.Linear(form.dim, embed_dim)
        self.register_buffer("boxes", frozen_boxes(form), persistent=False)

    @property
    def patches(self) -> int:
        """Number of tokens per image."""
        return len(self.boxes)

    def select(self, batch: ImageTensors) -> Tensor | None:
        """Returns the input of this module: the image tokens of a batch, or None if it has none."""
        return batch.image_tokens

    def forward(self, tokens: Tensor) -> Tensor:
        """Projects the tokens of each image.

        Args:
            tokens: tokens of a frozen image encoder, in the order of `frozen_boxes`. float [N, P, C]
        Returns:
            Projected tokens, image by image. [N·P, D]
        """
        return self.proj(tokens.to(self.proj.weight.dtype)).flatten(0, 1)


def frozen_boxes(form: FrozenForm) -> Tensor:
    """Returns the bounding boxes of the tokens of a frozen image encoder. [P, 8]

    The box of a cell's token is the cell. The box of the token for the whole image is the tile. The format of a box is
    that of `patch_boxes`.
    """
    cells = patch_boxes(form.grid)
    return torch.cat([patch_boxes(1), cells]) if form.whole else cells
