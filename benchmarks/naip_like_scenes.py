"""Synthetic scenes with the layout of NAIP images, for `benchmarks/imagery.py`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import from_origin
from rasterio.windows import Window

BLOCK_PX = 512
CRS, WEST_M, NORTH_M = "EPSG:26914", 500_000.0, 5_200_000.0


def make_scenes(folder: Path, count: int, width: int, height: int, pixel: float) -> None:
    """Creates one scene, and copies of it at other positions."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"m_46099{number + 10}_ne_14_060_20210704.tif" for number in range(count)]
    if all(path.is_file() for path in paths):
        return
    make_scene(paths[0], width, height, pixel)
    for number, path in enumerate(paths[1:], 1):
        shutil.copyfile(paths[0], path)
        with rasterio.open(path, "r+") as out:
            down, across = divmod(number, 3)
            west, north = WEST_M + across * width * pixel, NORTH_M - down * height * pixel
            out.transform = from_origin(west, north, pixel, pixel)


def make_scene(path: Path, width: int, height: int, pixel: float) -> None:
    """Creates a scene of smooth fields with noise, which compresses like a photograph."""
    generator = np.random.default_rng(0)
    profile = {"driver": "GTiff", "count": 4, "width": width, "height": height, "dtype": "uint8", "crs": CRS}
    layout = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "interleave": "pixel"}
    packed = {"compress": "deflate", "zlevel": 1, "photometric": "rgb", "alpha": "unspecified", "num_threads": "2"}
    transform = from_origin(WEST_M, NORTH_M, pixel, pixel)
    columns = np.arange(width, dtype=np.float32) * pixel
    with rasterio.open(path, "w", **profile, **layout, **packed, transform=transform) as out:
        out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
        for top in range(0, height, BLOCK_PX):
            rows = np.arange(top, min(top + BLOCK_PX, height), dtype=np.float32)[:, None] * pixel
            smooth = 120 + 40 * np.sin(columns / 37) * np.cos(rows / 29) + 30 * np.sin((columns + rows) / 11)
            noise = generator.integers(-12, 13, (4, *smooth.shape), np.int8)
            window = Window(0, top, width, len(rows))
            out.write(np.clip(smooth + noise, 1, 255).astype(np.uint8), window=window)
    with rasterio.Env(COMPRESS_OVERVIEW="DEFLATE", ZLEVEL_OVERVIEW=1), rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4, 8], Resampling.average)
