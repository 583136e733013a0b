"""Joins the images of tiles to one small picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.grid import TileId
from geojepa_cli.store.images import ImageStore

NO_IMAGE = (236, 234, 228)


def join_images(
    images: ImageStore,
    rows: Sequence[int],
    tiles: Sequence[TileId],
    corner: tuple[int, int],
    size: tuple[int, int],
    most_px: int,
) -> NDArray[np.uint8]:
    """Returns the images of tiles as one picture. Areas without an image are grey.

    Args:
        images: images of tiles.
        rows: rows of the images to show.
        tiles: tile of each of these images.
        corner: x and y of the tile in the north-west corner of the picture.
        size: number of columns and rows of tiles.
        most_px: width and height that the picture has at most, if a tile has at least one pixel.
    Returns:
        Picture. uint8 [3, height, width]
    """
    from PIL import Image

    side = min(max(most_px // max(size), 1), 224)
    found = np.empty((3, size[1] * side, size[0] * side), np.uint8)
    found[:] = np.array(NO_IMAGE, np.uint8)[:, None, None]
    for row, tile in zip(rows, tiles, strict=True):
        picture = Image.fromarray(np.ascontiguousarray(np.moveaxis(np.asarray(images.image[row])[:3], 0, -1)))
        left, top = (tile.x - corner[0]) * side, (tile.y - corner[1]) * side
        small = picture.resize((side, side), Image.Resampling.BOX)
        found[:, top : top + side, left : left + side] = np.moveaxis(np.asarray(small), -1, 0)
    return found
