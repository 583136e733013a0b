"""Writes values at regular points of tiles as a GeoTIFF in Web Mercator, one tile at a time, and reads an overview."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.grid import SEMI_MAJOR_AXIS_M, TileId, from_tile_uv, tile_uv

WORLD_M = 2 * math.pi * SEMI_MAJOR_AXIS_M  # side of the world in EPSG:3857
BLOCK_PX = 16  # the side of a block of a GeoTIFF is a multiple of it
_CACHE_BYTES = 64 << 20  # of GDAL; a fixed size, because it decides the order of blocks in the file

Heat = NDArray[np.float32]


@dataclass(frozen=True)
class HeatGrid:
    """Pixels of a raster that covers tiles of one zoom.

    Attributes:
        zoom: zoom of the tiles.
        column, row: x and y of the north-west tile.
        columns, rows: number of tiles along the sides of the raster.
        side: number of pixels along the side of a tile.
    """

    zoom: int
    column: int
    row: int
    columns: int
    rows: int
    side: int

    @classmethod
    def around(cls, tiles: Sequence[TileId], side: int) -> HeatGrid:
        """Returns the smallest raster that contains tiles, at least one and all of one zoom."""
        xs, ys = [tile.x for tile in tiles], [tile.y for tile in tiles]
        return cls(tiles[0].z, min(xs), min(ys), max(xs) - min(xs) + 1, max(ys) - min(ys) + 1, side)

    @property
    def width(self) -> int:
        """Number of columns of pixels."""
        return self.columns * self.side

    @property
    def height(self) -> int:
        """Number of rows of pixels."""
        return self.rows * self.side

    @property
    def pixel_m(self) -> float:
        """Side of a pixel in EPSG:3857, in metres at the equator."""
        return WORLD_M / (1 << self.zoom) / self.side

    @property
    def left(self) -> float:
        """West edge in EPSG:3857."""
        return self.column * self.side * self.pixel_m - WORLD_M / 2

    @property
    def top(self) -> float:
        """North edge in EPSG:3857."""
        return WORLD_M / 2 - self.row * self.side * self.pixel_m

    def pixel(self, lon: float, lat: float) -> tuple[float, float]:
        """Returns the place of a point in the raster, in pixels from its north-west corner: (x, y)."""
        u, v = tile_uv(self.zoom, self.column, self.row, [(lon, lat)])[0].tolist()
        return u * self.side, v * self.side

    def lonlat(self, x: float, y: float) -> tuple[float, float]:
        """Returns longitude and latitude of a place in the raster, given as pixels from its north-west corner."""
        lon, lat = from_tile_uv(self.zoom, self.column, self.row, [(x / self.side, y / self.side)])[0].tolist()
        return lon, lat


def write_heat(
    path: Path, grid: HeatGrid, heats: Iterable[tuple[TileId, Heat]], title: str, tags: Mapping[str, str]
) -> None:
    """Writes a GeoTIFF with one float32 band. Pixels without a tile are NaN, which is the no-data value.

    Each tile is one compressed block, which is written once. Blocks without a tile take no space. So the memory does
    not depend on the number of tiles.

    Args:
        path: file to write.
        grid: pixels of the raster. `side` must be a multiple of 16.
        heats: tiles with their values, [side, side]. The order decides the bytes of the file.
        title: description of the band.
        tags: metadata of the file.
    """
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    profile: dict[str, Any] = {
        **{"driver": "GTiff", "dtype": "float32", "count": 1, "width": grid.width, "height": grid.height},
        **{"crs": "EPSG:3857", "transform": from_origin(grid.left, grid.top, grid.pixel_m, grid.pixel_m)},
        **{"nodata": math.nan, "tiled": True, "blockxsize": grid.side, "blockysize": grid.side},
        **{"compress": "deflate", "predictor": 3, "sparse_ok": True, "bigtiff": "if_safer", "num_threads": 1},
    }
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES), rasterio.open(path, "w", **profile) as file:
        file.set_band_description(1, title)
        file.update_tags(**tags)
        for tile, heat in heats:
            column, row = (tile.x - grid.column) * grid.side, (tile.y - grid.row) * grid.side
            file.write(heat, 1, window=Window(column, row, grid.side, grid.side))


def read_overview(path: Path, most_px: int) -> Heat:
    """Reads a GeoTIFF at a lower resolution, with means of pixels. NaN stands for no data.

    Args:
        path: file that `write_heat` has written.
        most_px: maximum width and height.
    Returns:
        float32 [height, width]
    """
    import rasterio
    from rasterio.enums import Resampling

    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES), rasterio.open(path) as file:
        scale = min(1.0, most_px / max(file.width, file.height))
        shape = max(1, round(file.height * scale)), max(1, round(file.width * scale))
        found: Heat = file.read(1, out_shape=shape, resampling=Resampling.average)
    return found
