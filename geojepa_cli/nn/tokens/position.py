"""Positional encoding of a token's bounding box and modality (GeoJEPA thesis, section 7.6.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.layers.mlp import Mlp

# About 1.5 m on a tile of 480 m, in tile units. Side lengths are divided by it before the logarithm.
_SMALL_SIDE = 0.003
_CENTRE_FREQUENCIES = (1.0, 2.0, 4.0, 8.0)


def corner_features(box: Tensor) -> Tensor:
    """Returns the corner coordinates of a bounding box, scaled to about -1..1. [T, 8] -> [T, 8]."""
    return 2.0 * box - 1.0


def rectangle_features(box: Tensor) -> Tensor:
    """Returns the centre, log side lengths and orientation of bounding boxes, and sines and cosines of the centre.

    The features do not depend on which corner comes first. Because of the logarithm, doubling a small side changes the
    features about as much as doubling a large one. The angle is doubled, so that a rotation by 180° has no effect.

    Args:
        box: corners (x, y) in order around the rectangle, in tile units. [T, 8]
    Returns:
        Features. [T, 22]
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
    """Encodes bounding box and one-hot modality by one MLP each, then fuses both by a third MLP.

    Args:
        embed_dim: width D.
        num_modalities: number of modalities.
        rectangle: True encodes `rectangle_features`. False encodes the corners, as in the GeoJEPA thesis.
    """

    def __init__(self, embed_dim: int, num_modalities: int, rectangle: bool = True) -> None:
        super().__init__()
        self.rectangle = rectangle
        self.num_modalities = num_modalities
        self.box = Mlp(22 if rectangle else 8, embed_dim, embed_dim)
        self.modality = Mlp(num_modalities, embed_dim, embed_dim)
        self.fuse = Mlp(2 * embed_dim, embed_dim, embed_dim)

    def forward(self, box: Tensor, modality: Tensor) -> Tensor:
        """Maps bounding box corners [T, 8] and modality ids, int64 [T], to encodings [T, D]."""
        place = self.box(rectangle_features(box) if self.rectangle else corner_features(box))
        one_hot = torch.eye(self.num_modalities, device=box.device, dtype=box.dtype)
        kind = self.modality(one_hot)[modality]
        return self.fuse(torch.cat([place, kind], dim=1))
