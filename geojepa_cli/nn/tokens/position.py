"""Positional encoding of a token's box and modality (thesis 7.6.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.layers.mlp import Mlp

# A side of 1.5 m on a tile of 480 m. Logarithms of sides are taken relative to it, so that small entities lie near 0.
_SMALL_SIDE = 0.003
_CENTRE_FREQUENCIES = (1.0, 2.0, 4.0, 8.0)


def corner_features(box: Tensor) -> Tensor:
    """Returns the box's eight coordinates, scaled to about -1..1. [T, 8] -> [T, 8]."""
    return 2.0 * box - 1.0


def rectangle_features(box: Tensor) -> Tensor:
    """Returns centre, its sines and cosines, log side lengths and turn of the box.

    They do not depend on which corner comes first. Sides of 1.5 m and 3 m differ as much as sides of 150 m and 300 m.
    The angle is doubled, so that turns by 180° are equal.

    Args:
        box: corners (x, y) in order around the rectangle, in tile units. [T, 8]
    Returns:
        [T, 22]
    """
    corners = box.view(-1, 4, 2)
    centre = corners.mean(1) * 2.0 - 1.0
    side_a = corners[:, 1] - corners[:, 0]
    side_b = corners[:, 2] - corners[:, 1]
    length_a, length_b = side_a.norm(dim=1, keepdim=True), side_b.norm(dim=1, keepdim=True)
    a_longer = length_a >= length_b
    long_side = torch.where(a_longer, side_a, side_b)
    long_length, short_length = torch.maximum(length_a, length_b), torch.minimum(length_a, length_b)
    cos, sin = (long_side / long_length.clamp_min(1e-6)).unbind(1)
    turn = torch.stack([cos * cos - sin * sin, 2.0 * cos * sin], dim=1)
    sides = torch.log(torch.cat([long_length, short_length], dim=1) / _SMALL_SIDE + 1.0) - 3.0
    phase = torch.cat([centre * (torch.pi / 2 * f) for f in _CENTRE_FREQUENCIES], dim=1)
    return torch.cat([centre, sides, turn, phase.sin(), phase.cos()], dim=1)


class PositionEncoding(nn.Module):
    """MLP of the box, MLP of the one-hot modality, fused by an MLP.

    Args:
        embed_dim: width D.
        num_modalities: number of modalities that are distinguished.
        rectangle: encode `rectangle_features`; False encodes the corners, as the thesis does.
    """

    def __init__(self, embed_dim: int, num_modalities: int, rectangle: bool = True) -> None:
        super().__init__()
        self.rectangle = rectangle
        self.num_modalities = num_modalities
        self.box = Mlp(22 if rectangle else 8, embed_dim, embed_dim)
        self.modality = Mlp(num_modalities, embed_dim, embed_dim)
        self.fuse = Mlp(2 * embed_dim, embed_dim, embed_dim)

    def forward(self, box: Tensor, modality: Tensor) -> Tensor:
        """Box [T, 8], modality int64 [T] -> [T, D]."""
        place = self.box(rectangle_features(box) if self.rectangle else corner_features(box))
        one_hot = torch.eye(self.num_modalities, device=box.device, dtype=box.dtype)
        kind = self.modality(one_hot)[modality]
        return self.fuse(torch.cat([place, kind], dim=1))
