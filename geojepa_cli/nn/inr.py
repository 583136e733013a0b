"""Implicit neural representation of an image: reads a map of image features at any point, not only at its cells.

Source: LIIF (Chen et al. 2021), as used in GAIR (Liu et al. 2025). Coordinates are (u, v) from 0 to 1: u goes from west
to east and v from north to south, so (0, 0) is the north-west corner of the image. A map of h × w cells has its rows
from north to south and its columns from west to east.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Decoder = Literal["mlp", "linear", "bilinear", "nearest", "centre", "mean"]
DECODERS: tuple[Decoder, ...] = get_args(Decoder)
UNFOLDED = 9  # cells of the 3 × 3 neighbourhood that a decoder reads
CENTRE = 0.5


class Corners(NamedTuple):
    """The four cells whose centres surround each of Q points.

    Attributes:
        cell: index of each cell among the cells of all images, row by row. int64 [4, Q]
        weight: share of each cell. The shares of a point add up to 1. [4, Q]
        offset: position (east, south) of the point relative to the centre of each cell, in half cells: from −1 to 1
            across the cell. [4, Q, 2]
    """

    cell: Tensor
    weight: Tensor
    offset: Tensor


def find_corners(uv: Tensor, image: Tensor, height: int, width: int) -> Corners:
    """Finds the four cells around each point, with the weights of bilinear interpolation.

    The weight of a cell is the area of the rectangle between the point and the centre of the opposite cell. In the
    outer half of a border cell there is no cell beyond the border. The border cell takes its place.

    Args:
        uv: points in their images. [Q, 2]
        image: index of each point's image. int64 [Q]
        height: number of rows h of cells in an image.
        width: number of columns w of cells in an image.
    """
    place = uv * uv.new_tensor([width, height]) - 0.5  # in cells, 0 at the centre of the first cell
    first = place.floor()
    fraction = place - first
    step = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], device=uv.device)
    index = first.long() + step[:, None]  # [4, Q, 2]
    limit = torch.tensor([width - 1, height - 1], device=uv.device)
    index = torch.minimum(index.clamp_min(0), limit)
    shares = torch.where(step[:, None].bool(), fraction, 1.0 - fraction)
    cell = (image * height + index[..., 1]) * width + index[..., 0]
    return Corners(cell, shares.prod(dim=2), 2.0 * (place - index))


class LocalInterpolation(nn.Module):
    """Computes a vector for any point of an image from the image's map of features.

    Decoders:

    - `mlp`: reads the features of a cell and its eight neighbours, and the position of the point relative to the cell.
      An MLP with one hidden layer decodes them. The results of the four nearest cells are averaged with bilinear
      weights, so the vector is a continuous function of the point (LIIF).
    - `linear`: the same with a linear layer in place of the MLP (GAIR). Inside the map, this equals a 3 × 3 convolution
      followed by bilinear interpolation.
    - `bilinear`, `nearest`: bilinear interpolation, or the features of the cell that contains the point; then a linear
      layer.
    - `centre`, `mean`: the features at the centre of the image, or their mean over the image; then a linear layer. They
      do not depend on the point. They are baselines.

    Beyond the border of the map, the decoders `mlp` and `linear` read the nearest cell of the map. LIIF reads zeros.

    Args:
        dim: width D of the features.
        out_dim: width E of the vectors.
        decoder: name of the decoder.
        hidden_dim: width of the hidden layer of the decoder `mlp`.
    """

    def __init__(self, dim: int, out_dim: int, decoder: Decoder = "mlp", hidden_dim: int = 256) -> None:
        super().__init__()
        self.decoder = decoder
        self.unfolds = decoder in ("mlp", "linear")
        inner = hidden_dim if decoder == "mlp" else out_dim
        # weights of the unfolded features, in the order [channel, row, column] of a convolution, then of the position
        self.proj = nn.Linear(UNFOLDED * dim + 2 if self.unfolds else dim, inner)
        self.out = nn.Linear(hidden_dim, out_dim) if decoder == "mlp" else nn.Identity()

    def forward(self, features: Tensor, uv: Tensor, image: Tensor) -> Tensor:
        """Computes the vectors of points.

        Args:
            features: map of features of each image. [N, D, h, w]
            uv: points in their images. [Q, 2]
            image: index of each point's image. int64 [Q]
        Returns:
            Vector of each point. [Q, E]
        """
        height, width = features.shape[2:]
        if self.decoder == "mean":
            return self.proj(features.mean((2, 3)).index_select(0, image))
        if self.decoder == "centre":
            uv = torch.full_like(uv, CENTRE)
        corners = find_corners(uv, image, height, width)
        # [4, Q, E] or [4, Q, D]
        decoded = self._decode(features, corners) if self.unfolds else _rows(_by_cell(features), corners.cell)
        if self.decoder == "nearest":
            largest = corners.weight.argmax(0)
            mixed = decoded[largest, torch.arange(len(uv), device=uv.device)]
        else:
            mixed = (corners.weight.to(decoded.dtype)[..., None] * decoded).sum(0)
        return mixed if self.unfolds else self.proj(mixed)

    def _decode(self, features: Tensor, corners: Corners) -> Tensor:
        """Decodes each point from each of its four cells. [4, Q, E]

        The layer that reads the unfolded features is computed either for all cells of the map or for the four cells of
        each point, whichever are fewer. Both give the same result.
        """
        dim, cells = features.shape[1], len(features) * features.shape[2] * features.shape[3]
        of_features, of_position = self.proj.weight.split([UNFOLDED * dim, 2], dim=1)
        padded = _pad(features)
        if corners.cell.numel() < cells:
            near = _neighbourhoods(padded, corners.cell)  # [4, Q, 9·D], position by position
            by_position = of_features.view(-1, dim, UNFOLDED).transpose(1, 2).flatten(1)
            found = F.linear(near, by_position, self.proj.bias)
        else:
            kernel = of_features.view(-1, dim, 3, 3)
            found = _rows(_by_cell(F.conv2d(padded, kernel, self.proj.bias)), corners.cell)
        found = found + F.linear(corners.offset.to(found.dtype), of_position)
        return self.out(F.gelu(found)) if self.decoder == "mlp" else found


def _by_cell(features: Tensor) -> Tensor:
    """Returns one row per cell. [N, D, h, w] -> [N·h·w, D]"""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def _rows(table: Tensor, index: Tensor) -> Tensor:
    # faster than index_select in the backward pass, which sums the gradients of repeated rows
    return F.embedding(index, table)


def _pad(features: Tensor) -> Tensor:
    """Surrounds each map with copies of its border cells. [N, D, h, w] -> [N, D, h + 2, w + 2]"""
    for dim in (2, 3):
        size = features.shape[dim]
        index = torch.arange(-1, size + 1, device=features.device).clamp(0, size - 1)
        features = features.index_select(dim, index)
    return features


def _neighbourhoods(padded: Tensor, cell: Tensor) -> Tensor:
    """Returns the features of the 3 × 3 cells around each cell, row by row.

    Args:
        padded: maps with a border of one cell. [N, D, h + 2, w + 2]
        cell: indices of cells among the cells of the maps without border. int64 [..., Q]
    Returns:
        Features. [..., Q, 9·D]
    """
    height, width = padded.shape[2] - 2, padded.shape[3] - 2
    column, row, image = cell % width, cell // width % height, cell // (width * height)
    corner = (image * (height + 2) + row) * (width + 2) + column  # north-west of the cell, in the padded map
    step = torch.arange(3, device=cell.device)
    index = corner[..., None] + (step[:, None] * (width + 2) + step).flatten()
    return _rows(_by_cell(padded), index).flatten(-2)
