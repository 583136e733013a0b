"""Scenes written for tests, and where their pixels lie by pyproj and NumPy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from pyproj import Transformer
from rasterio.enums import ColorInterp
from rasterio.transform import Affine, from_origin

from geojepa_cli.grid import TileId, tile_of
from geojepa_cli.sources.mosaic import Mosaic, Picture
from geojepa_cli.sources.scaling import find_scaling
from geojepa_cli.sources.scenes import inspect_scene, newest_first

SIDE = 224
LON, LAT = -116.38, 32.97
TILE = tile_of(LON, LAT, 16)
WORLD_M = 2 * math.pi * 6378137.0
UTM = "EPSG:26911"


def tile_points(tile: TileId = TILE, size: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Web Mercator x and y of the middle of each pixel of a tile: [size, size]."""
    steps = (np.arange(size) + 0.5) / size
    x = (tile.x + steps) / 2**tile.z * WORLD_M - WORLD_M / 2
    y = WORLD_M / 2 - (tile.y + steps) / 2**tile.z * WORLD_M
    return tuple(np.meshgrid(x, y))  # type: ignore[return-value]


def project(crs: str, tile: TileId = TILE, size: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    return Transformer.from_crs("EPSG:3857", crs, always_xy=True).transform(*tile_points(tile, size))


def around(crs: str, pixel: float, margin: int = 8, tile: TileId = TILE) -> tuple[Affine, int, int]:
    """Transform, height and width of a raster that holds a tile."""
    x, y = project(crs, tile)
    west, north = x.min() - margin * pixel, y.max() + margin * pixel
    width, height = (int(np.ptp(axis) / pixel) + 2 * margin for axis in (x, y))
    return from_origin(west, north, pixel, pixel), height, width


def write(path: Path, data: np.ndarray, crs: str | None, transform: Affine, **how: Any) -> Path:
    count, height, width = data.shape
    profile = {"driver": "GTiff", "dtype": data.dtype, "count": count, "height": height, "width": width}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform, **how) as out:
        out.write(data)
        if count == 4:
            out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
    return path


def noise(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, shape, np.uint8)


def picture(*paths: Path, tile: TileId = TILE) -> Picture:
    scenes = newest_first([inspect_scene(path) for path in paths])
    mosaic = Mosaic(scenes, find_scaling(scenes))
    found = mosaic.picture(tile)
    mosaic.close()
    assert found is not None
    return found


def bilinear(data: np.ndarray, crs: str, transform: Affine, size: int = SIDE) -> np.ndarray:
    """The tile as pyproj and NumPy see it: float64 [bands, size, size]."""
    columns, rows = ~transform * project(crs, size=size)
    columns, rows = columns - 0.5, rows - 0.5
    left, top = np.floor(columns).astype(int), np.floor(rows).astype(int)
    across, down = columns - left, rows - top
    upper = data[:, top, left] * (1 - across) + data[:, top, left + 1] * across
    lower = data[:, top + 1, left] * (1 - across) + data[:, top + 1, left + 1] * across
    return upper * (1 - down) + lower * down
