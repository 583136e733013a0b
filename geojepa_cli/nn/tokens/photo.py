"""Ground encoder of street-level photos: a vector of what a photo shows, and of the direction in which it looks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.layouts import PackedLayout
from geojepa_cli.nn.tokens.image import PatchEmbed

PHOTOS_AT_ONCE = 64


class PhotoGround(nn.Module):
    """Ground encoder of photos: a vision transformer (ViT, Dosovitskiy et al. 2021) over patches of the photo.

    The heading and the horizontal field of view are added to every patch, as sine and cosine, because a photo to the
    north shows another part of a place than one to the south. A trained vector takes the place of unknown angles. The
    output is the mean over the patches. The place of the photo is not an input.

    Args:
        transformer: transformer of width D.
        dim: width D of the vectors.
        patch_px: side length of a patch in pixels. It must divide 224.
    """

    def __init__(self, transformer: Transformer, dim: int, patch_px: int) -> None:
        super().__init__()
        self.embed = PatchEmbed(dim, patch_px)
        self.position = nn.Parameter(torch.zeros(self.embed.patches, dim))
        self.heading = nn.Linear(2, dim, bias=False)
        self.field_of_view = nn.Linear(2, dim, bias=False)
        self.unknown = nn.Parameter(torch.zeros(2, dim))  # heading, field of view
        nn.init.trunc_normal_(self.position, std=0.02)
        nn.init.trunc_normal_(self.unknown, std=0.02)
        self.transformer = transformer

    def forward(self, pixels: Tensor, heading: Tensor, field_of_view: Tensor) -> Tensor:
        """Computes the vectors of photos.

        Args:
            pixels: red, green and blue, rows from the top. uint8 [N, 3, 224, 224]
            heading: direction of the camera in degrees clockwise from north, NaN if unknown. [N]
            field_of_view: horizontal field of view in degrees, NaN if unknown. [N]
        Returns:
            Vectors. [N, D]
        """
        if not len(pixels):  # with one black photo, so that all weights have a gradient, which is zero
            nothing = torch.full_like(pixels[:1].float().new_zeros(1), float("nan"))
            return self(pixels.new_zeros(1, *pixels.shape[1:]), nothing, nothing)[:0]
        patches, dim = self.position.shape
        angles = self._turn(self.heading, heading, 0) + self._turn(self.field_of_view, field_of_view, 1)
        x = self.embed(pixels).view(len(pixels), patches, dim) + self.position + angles[:, None]
        starts = torch.arange(len(pixels) + 1, device=pixels.device) * patches
        tokens = self.transformer(x.flatten(0, 1), PackedLayout(starts, patches, len(pixels) * patches))
        return tokens.view(len(pixels), patches, dim).mean(1)

    def _turn(self, layer: nn.Linear, degrees: Tensor, number: int) -> Tensor:
        """Returns the vectors of angles, or the trained vector for unknown ones. [N] -> [N, D]"""
        known = ~torch.isnan(degrees)
        angle = torch.deg2rad(torch.where(known, degrees, torch.zeros_like(degrees)))  # NaN would reach the gradient
        turned: Tensor = layer(torch.stack([angle.sin(), angle.cos()], dim=1).to(layer.weight.dtype))
        return torch.where(known[:, None], turned, self.unknown[number].to(turned.dtype))
