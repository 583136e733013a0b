"""Similarity of a vector to all points of tiles, by a model that reads images at any point and encodes locations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.grid import TileId, from_tile_uv
from geojepa_cli.models.base import PointReader
from geojepa_cli.store.images import ImageStore

DECIMALS = 5  # of similarities, so that the number of threads, which changes the last bits, does not change files
_POINTS_AT_ONCE = 16_384

Heat = NDArray[np.float32]


def pixel_centres(side: int) -> NDArray[np.float64]:
    """Returns the centres (u, v) of side × side pixels of an image, row by row from the north. float64 [side², 2]"""
    steps = (np.arange(side) + 0.5) / side
    v, u = np.meshgrid(steps, steps, indexing="ij")
    return np.stack([u.ravel(), v.ravel()], axis=1)


def similarity_in_images(
    reader: PointReader,
    query: NDArray[np.float64],
    images: ImageStore,
    rows: Sequence[int],
    side: int,
    device: torch.device | str = "cpu",
) -> Iterator[Heat]:
    """Yields the cosine of a vector to the vectors that are read from images, at side × side points of each.

    Args:
        reader: model.
        query: vector of length 1. [D]
        images: images of tiles.
        rows: rows of the images.
        side: number of points along one side of an image. They are the centres of equal squares.
        device: device of the model.
    Yields:
        Cosines, rows from north to south. float32 [side, side]
    """
    vector = torch.from_numpy(query).to(device)
    points = torch.from_numpy(pixel_centres(side)).float().to(device)
    for row in rows:
        with torch.inference_mode():
            features = reader.feature_maps(torch.from_numpy(np.array(images.image[row])[None]).to(device))
            parts = [
                reader.at_points(features, some, torch.zeros(len(some), dtype=torch.int64, device=device))
                for some in torch.split(points, _POINTS_AT_ONCE)
            ]
            found = _cosines(parts, vector, side)
        yield found  # outside of the inference mode, which would else hold for the caller


def similarity_of_locations(
    reader: PointReader,
    query: NDArray[np.float64],
    tiles: Iterable[TileId],
    side: int,
    device: torch.device | str = "cpu",
) -> Iterator[Heat]:
    """Yields the cosine of a vector to the vectors of locations, at side × side points of each tile.

    The arguments are those of `similarity_in_images`, with tiles instead of images.
    """
    vector = torch.from_numpy(query).to(device)
    points = pixel_centres(side)
    for tile in tiles:
        places = torch.from_numpy(from_tile_uv(*tile, points)).to(device)
        with torch.inference_mode():
            found = _cosines([reader.at_places(some) for some in torch.split(places, _POINTS_AT_ONCE)], vector, side)
        yield found


def _cosines(parts: Sequence[Tensor], query: Tensor, side: int) -> Heat:
    found = torch.cat([part.double() @ query for part in parts]).cpu().numpy().reshape(side, side)
    return np.round(found.clip(-1.0, 1.0), DECIMALS).astype(np.float32)


class HeatSummary:
    """Mean and extremes of similarities, and the tiles with the highest ones. Tiles are added one after the other.

    Args:
        most: number of tiles to keep.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count, self._sum, self._squares = 0, 0.0, 0.0
        self._low, self._high = float("inf"), float("-inf")
        self._best: list[tuple[float, int, TileId, int]] = []

    def add(self, tile: TileId, heat: Heat) -> None:
        """Adds the similarities of a tile."""
        values = heat.astype(np.float64)
        self._sum, self._squares = self._sum + float(values.sum()), self._squares + float((values**2).sum())
        self._low, self._high = min(self._low, float(heat.min())), max(self._high, float(heat.max()))
        place = int(heat.argmax())
        # ties are ordered by the order of the tiles
        self._best.append((float(heat.ravel()[place]), -self._count, tile, place))
        self._best = sorted(self._best, reverse=True)[: self._most]
        self._count += heat.size

    def statistics(self) -> dict[str, float]:
        """Returns mean, standard deviation, minimum and maximum of all points."""
        mean = self._sum / max(self._count, 1)
        spread = max(self._squares / max(self._count, 1) - mean**2, 0.0) ** 0.5
        return {"mean": mean, "std": spread, "min": self._low, "max": self._high}

    def peaks(self, side: int) -> list[tuple[TileId, float, float, float]]:
        """Returns tile, score, longitude and latitude of the best point of the best tiles, best first.

        Args:
            side: number of points along one side of a tile.
        """
        centres = pixel_centres(side)
        places = [(tile, score, from_tile_uv(*tile, centres[[place]])[0]) for score, _, tile, place in self._best]
        return [(tile, score, float(lon), float(lat)) for tile, score, (lon, lat) in places]
