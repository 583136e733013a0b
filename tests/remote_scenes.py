"""Scenes as NAIP's are, for a local server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from pyproj import Transformer
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from geojepa_cli.grid import TileId, tile_of
from geojepa_cli.sources import naip
from geojepa_cli.sources.http import RetryPolicy
from geojepa_cli.sources.mosaic import Mosaic, Picture
from geojepa_cli.sources.ranges import RangeReader
from geojepa_cli.sources.scenes import inspect_scene, newest_first

VERMONT = (-73.21, 43.99, -73.12, 44.05)  # of the recorded search
QUICK = RetryPolicy(attempts=4, pause_s=0.01, max_pause_s=0.05, timeout_s=5.0)
UTM = "EPSG:26914"
WEST, NORTH = 500_000.0, 5_200_000.0


def write(path: Path, data: np.ndarray, overviews: tuple[int, ...] = (), **how: object) -> Path:
    """A GeoTIFF as NAIP's are: red, green, blue and infrared, tiled, of one plane; 0.6 m."""
    profile = {"driver": "GTiff", "count": 4, "height": data.shape[1], "width": data.shape[2], "dtype": "uint8"}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "pixel", **how}
    with rasterio.open(path, "w", **profile, **layout, crs=UTM, transform=from_origin(WEST, NORTH, 0.6, 0.6)) as out:
        out.write(data)
        out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
    if overviews:
        with rasterio.open(path, "r+") as out:
            out.build_overviews(overviews, rasterio.enums.Resampling.average)
    return path


def tile_at(east_px: float, south_px: float) -> TileId:
    lon, lat = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(
        WEST + east_px * 0.6, NORTH - south_px * 0.6
    )
    return tile_of(lon, lat, 16)


def mosaic(items: list[naip.Item], reader: RangeReader) -> Mosaic:
    scenes = newest_first(naip.scenes_of(items))
    return Mosaic(scenes, None, naip.scene_opener(items, reader))


def local(path: Path, tile: TileId) -> Picture:
    found = Mosaic([inspect_scene(path)]).picture(tile)
    assert found is not None
    return found
