"""Positional encoding of tokens, computed from bounding box and modality (GeoJEPA thesis, section 7.6.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.layers.mlp import Mlp

# Side lengths are divided by this length before the logarithm. In tile units; about 1.5 m in a tile of 480 m.
_SMALL_SIDE = 0.003
_CENTRE_FREQUENCIES = (1.0, 2.0, 4.0, 8.0)


def corner_features(box: Tensor) -> Tensor:
    """Scales corner coordinates of bounding boxes from tile units (0 to 1) to the range -1 to 1. [T, 8] -> [T, 8]."""
    return 2.0 * box - 1.0


def rectangle_features(box: Tensor) -> Tensor:
    """Computes features of rotated bounding boxes: position, size and orientation.

    The features do not depend on which corner comes first. Side lengths are given as logarithms. So doubling a small
    side changes the features about as much as doubling a large side. Orientation is given as cosine and sine of twice
    the angle of the longer side. So a rotation by 180° does not change the features.

    Args:
        box: corners (x, y) in order around the rectangle, in tile units. [T, 8]
    Returns:
        Centre (2 values), logarithms of both side lengths (2), orientation (2), and sines and cosines of the centre
        coordinates at four frequencies (16). [T, 22]
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
    """Positional encoding of tokens.

    One MLP encodes the bounding box, a second MLP encodes the modality, and a third MLP combines both.

    Args:
        embed_dim: width D of the encoding.
        num_modalities: number of modalities.
        rectangle: True: the first MLP reads `rectangle_features`. False: it reads the corner coordinates, as in the
            GeoJEPA thesis.
    """

    def __init__(self, embed_dim: int, num_modalities: int, rectangle: bool = True) -> None:
        super().__init__()
        self.rectangle = rectangle
        self.num_modalities = num_modalities
        self.box = Mlp(22 if rectangle else 8, embed_dim, embed_dim)
        self.modality = Mlp(num_modalities, embed_dim, embed_dim)
        self.fuse = Mlp(2 * embed_dim, embed_dim, embed_dim)

    def forward(self, box: Tensor, modality: Tensor) -> Tensor:
        """Computes the positional encoding of each token.

        Args:
            box: bounding box corners of each token, in tile units. [T, 8]
            modality: modality id of each token. int64 [T]
        Returns:
            Encodings. [T, D]
        """
        place = self.box(rectangle_features(box) if self.rectangle else corner_features(box))
        every = torch.eye(self.num_modalities, device=box.device, dtype=box.dtype)
        # a product, because the backward pass of an index with many equal entries is slow on a GPU
        kind = every[modality] @ self.modality(every)
        return self.fuse(torch.cat([place, kind], dim=1))
