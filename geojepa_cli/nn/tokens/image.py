"""Image tokens: a trained linear projection of image patches.

Tokens of a pretrained image encoder are not used: each of them contains information about the whole image, so the
visible patches would reveal the hidden ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

IMAGE_PX = 224


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

    def forward(self, images: Tensor) -> Tensor:
        """Computes one vector for each patch of each image. The patches are in the order of `patch_boxes`.

        Args:
            images: images with red, green and blue bands. uint8 [N, 3, 224, 224]
        Returns:
            Patch vectors, image by image. [N·patches, D]
        """
        scaled = images.to(self.proj.weight.dtype) / 127.5 - 1.0
        return self.proj(scaled).flatten(2).transpose(1, 2).reshape(-1, self.proj.out_channels)
