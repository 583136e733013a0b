"""Writes the `images.h5` of a region with drawn images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geojepa_cli.config.drawing import DrawingConfig
from geojepa_cli.drawing.tiles import DrawnTile, TileDrawer
from geojepa_cli.store.entity_tiles import rows_with_entities, tiles_at
from geojepa_cli.store.image_form import ImageForm
from geojepa_cli.store.images import create_images
from geojepa_cli.store.reader import RegionStore

_BATCH = 64  # number of images that are in memory at a time


def write_drawn_images(
    region: RegionStore,
    path: Path,
    drawing: DrawingConfig,
    form: ImageForm,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Draws every tile of a region that contains an entity, and writes an `images.h5`.

    The bytes of the file do not depend on the number of threads.

    Args:
        region: opened `tiles.h5`.
        path: file to write.
        drawing: settings of the images.
        form: size, bands and file format of the images.
        threads: number of threads.
        progress: function that is called after each image with (number of images done, number of all images).

    Returns:
        Numbers of images, of pieces (parts of OSM elements inside single tiles) that were drawn, and of pieces that
        were left out by chance.

    Raises:
        DataError: the geometry in the `tiles.h5` is damaged.
    """
    region.check_geometry()
    rows = rows_with_entities(region)
    counts = {"images": len(rows), "pieces drawn": 0, "pieces left out": 0}

    def images() -> Iterator[npt.NDArray[np.uint8]]:
        for done, tile in enumerate(_draw(TileDrawer(region, drawing, form), rows, threads), 1):
            counts["pieces drawn"] += tile.shown
            counts["pieces left out"] += tile.left_out
            yield tile.pixels
            if progress is not None:
                progress(done, len(rows))

    create_images(path, tiles_at(region, rows), form, images(), threads)
    return counts


def _draw(drawer: TileDrawer, rows: Sequence[int], threads: int) -> Iterator[DrawnTile]:
    """Yields the images of tiles in the order of `rows`."""
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(rows), _BATCH):
            yield from pool.map(drawer.draw, rows[start : start + _BATCH])
