"""Where a token lies and what it is: the positional encoding of its box and modality (thesis 7.6.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.layers.transformer import Mlp

TAGS, IMAGE = 0, 1
NUM_MODALITIES = 2

# A box side of 1.5 m on a tile of 480 m: what the logarithm of a side is shifted by, so that small things lie near 0.
_SMALL_SIDE = 0.003
_CENTRE_FREQUENCIES = (1.0, 2.0, 4.0, 8.0)


def corner_features(box: Tensor) -> Tensor:
    """The box's eight coordinates, moved to about -1..1. [T, 8] -> [T, 8]."""
    return 2.0 * box - 1.0


def rectangle_features(box: Tensor) -> Tensor:
    """Centre, its sines and cosines, log side lengths and turn of the box.

    The same rectangle as the corners give, whichever corner comes first; sides of 1.5 m and of 3 m differ by as much
    as sides of 150 m and 300 m, and the double angle makes turns by 180° equal.

    Args:
        box: corners (x, y) in order round the rectangle, tile units. [T, 8]
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
        rectangle: encode `rectangle_features` instead of the corners as they are (the thesis).
    """

    def __init__(self, embed_dim: int, rectangle: bool = True) -> None:
        super().__init__()
        self.rectangle = rectangle
        self.box = Mlp(22 if rectangle else 8, embed_dim, embed_dim)
        self.modality = Mlp(NUM_MODALITIES, embed_dim, embed_dim)
        self.fuse = Mlp(2 * embed_dim, embed_dim, embed_dim)

    def forward(self, box: Tensor, modality: Tensor) -> Tensor:
        """Box [T, 8], modality int64 [T] -> [T, D]."""
        where = self.box(rectangle_features(box) if self.rectangle else corner_features(box))
        one_hot = torch.eye(NUM_MODALITIES, device=box.device, dtype=box.dtype)
        what = self.modality(one_hot)[modality]
        return self.fuse(torch.cat([where, what], dim=1))
