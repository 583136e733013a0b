"""Pairs of overlapping crops of aerial images, and ground points that both contain, for `benchmarks/crops.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from geojepa_cli.grid import parse_tile
from geojepa_cli.models.scalemae import metres_per_px

SIDE, GROUP = 224, 4  # pixels of a crop; tiles along the side of a zoom-14 group
MOSAIC = SIDE * GROUP
GRID = 32  # cells along a side, each with one test point
POINTS = 1000
SHIFTS = 32, 192  # pixels by which the second grid of crops is shifted


class Mosaic(NamedTuple):
    """The image of a zoom-14 group: its name, red, green and blue, uint8 [3, 896, 896], and metres per pixel."""

    name: str
    image: Tensor
    metres: float


class Crops(NamedTuple):
    """Two overlapping crops of each of n places, and the ground points in them.

    Attributes:
        first, second: images. uint8 [n, 3, 224, 224]
        places: mosaic (number), x and y in pixels of each point. [n · k, 3]
        uv_first, uv_second: places of the points in both crops. [n · k, 2]
        crop: index of the crop of each point. int64 [n · k]
    """

    first: Tensor
    second: Tensor
    places: Tensor
    uv_first: Tensor
    uv_second: Tensor
    crop: Tensor


class Points(NamedTuple):
    """Test points of a mosaic.

    Attributes:
        xy: place in pixels of the mosaic. [q, 2]
        crops: images of both grids. uint8 [n, 3, 224, 224] each
        crop: index of the crop of each point, for both grids. int64 [q] each
        uv: place in the crop, for both grids. [q, 2] each
    """

    xy: Tensor
    crops: tuple[Tensor, Tensor]
    crop: tuple[Tensor, Tensor]
    uv: tuple[Tensor, Tensor]


def read_mosaics(folder: Path) -> list[Mosaic]:
    """Reads image tiles `16_X_Y.webp`, and joins those of whole zoom-14 groups."""
    groups: dict[tuple[int, int], dict[tuple[int, int], Path]] = defaultdict(dict)
    for path in sorted(folder.glob("*.webp")):
        _, x, y = parse_tile(path.stem)
        groups[x // GROUP, y // GROUP][x % GROUP, y % GROUP] = path
    found = []
    for (x, y), tiles in sorted(groups.items()):
        if len(tiles) == GROUP**2:
            image = np.zeros((MOSAIC, MOSAIC, 3), np.uint8)
            for (column, row), path in tiles.items():
                with Image.open(path) as opened:
                    part = np.asarray(opened.convert("RGB"))
                image[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = part
            metres = float(metres_per_px(torch.tensor([[14, x, y]]))[0]) / GROUP
            found.append(Mosaic(f"14_{x}_{y}", torch.from_numpy(image).permute(2, 0, 1).contiguous(), metres))
    return found


def draw_crops(mosaics: Sequence[Mosaic], pairs: int, points: int, turn: bool, rng: torch.Generator) -> Crops:
    """Draws pairs of crops that overlap by at least a half along each side, and points that both contain."""
    number = torch.randint(len(mosaics), (pairs,), generator=rng)
    corner = torch.randint(MOSAIC - SIDE + 1, (pairs, 2), generator=rng)
    shift = torch.randint(-SIDE // 2, SIDE // 2 + 1, (pairs, 2), generator=rng)
    other = (corner + shift).clamp(0, MOSAIC - SIDE)
    turns = torch.randint(4 if turn else 1, (pairs,), generator=rng)
    low, high = torch.maximum(corner, other), torch.minimum(corner, other) + SIDE
    crop = torch.arange(pairs).repeat_interleave(points)
    xy = low[crop] + torch.rand(len(crop), 2, generator=rng) * (high - low)[crop]
    images = [mosaics[one].image for one in number.tolist()]
    return Crops(
        torch.stack([cut(image, *at) for image, at in zip(images, corner.tolist(), strict=True)]),
        torch.stack([cut(image, *at, k) for image, at, k in zip(images, other.tolist(), turns.tolist(), strict=True)]),
        torch.cat([number[crop, None].float(), xy], dim=1),
        (xy - corner[crop]) / SIDE,
        turned((xy - other[crop]) / SIDE, turns[crop]),
        crop,
    )


def cut(image: Tensor, x: int, y: int, turns: int = 0) -> Tensor:
    """Returns the crop whose north-west corner is at (x, y), turned anticlockwise by quarter turns. [3, 224, 224]"""
    return torch.rot90(image[:, y : y + SIDE, x : x + SIDE], turns, (1, 2))


def turned(uv: Tensor, turns: Tensor) -> Tensor:
    """Returns where points (u, v) are in images that were turned anticlockwise by quarter turns. [q, 2], int64 [q]"""
    for quarter in range(1, 4):
        moved = torch.stack([uv[:, 1], 1.0 - uv[:, 0]], dim=1)
        uv = torch.where((turns >= quarter)[:, None], moved, uv)
    return uv


def points_to_test(mosaic: Mosaic, number: int, seed: int, turn: bool) -> Points:
    """Draws the test points of a mosaic, and cuts the crops of both grids."""
    rng = np.random.default_rng([seed, number])
    shift = rng.integers(SHIFTS[0], SHIFTS[1] + 1, 2)
    inner = MOSAIC - SIDE
    cell = rng.permutation(GRID**2)[:POINTS]
    places = np.stack([cell % GRID, cell // GRID], 1) + rng.uniform(0.25, 0.75, (POINTS, 2))
    xy = shift + places * (inner / GRID)
    crops, index, uv = [], [], []
    for start, count in ((np.zeros(2, np.int64), GROUP), (shift, GROUP - 1)):
        turns = rng.integers(4 if turn and count < GROUP else 1, size=count**2)
        column, row = ((xy - start) // SIDE).astype(np.int64).T
        corners = [start + SIDE * np.array([n % count, n // count]) for n in range(count**2)]
        crops.append(
            torch.stack([cut(mosaic.image, *at.tolist(), int(k)) for at, k in zip(corners, turns, strict=True)])
        )
        index.append(torch.from_numpy(row * count + column))
        plain = torch.from_numpy((xy - start) / SIDE - np.stack([column, row], 1))
        uv.append(turned(plain, torch.from_numpy(turns)[index[-1]]))
    return Points(torch.from_numpy(xy), (crops[0], crops[1]), (index[0], index[1]), (uv[0], uv[1]))
