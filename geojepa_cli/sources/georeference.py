"""Checks that a scene (image) has a CRS and an affine transform, and computes the bounds of the scene in degrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.grid import Bounds, TileId, tile_bounds
from geojepa_cli.hints import Hint

_MAX_LAT = 90.5  # degrees; the edge of a coarse raster may be half a pixel beyond the pole
_WARPED_CRS = "EPSG:3857"


def check_georeference(source: Any, path: Path) -> None:
    """Checks that a rasterio dataset has a CRS and an affine transform.

    A scene with ground control points, rational polynomial coefficients or a geolocation array instead of a transform
    is rejected. The user must choose how to warp such a scene, for example with which elevation model. The hint of the
    error contains a command that warps the scene.

    Raises:
        DataError: the CRS or the transform is missing.
    """
    has_transform = not source.transform.is_identity
    if not has_transform and (what := _other_georeference(source)):
        raise DataError(f"`{path}` has {what[0]} instead of a transform", _warp_hint(source, path, what[1]))
    if source.crs is None:
        raise DataError(f"`{path}` has no CRS", _set_crs(path))
    if not has_transform or source.transform.is_degenerate or not np.isfinite(source.transform).all():
        edit = hints.shell("gdal_edit.py", "-a_ullr", "WEST", "NORTH", "EAST", "SOUTH", str(path))
        raise DataError(f"`{path}` has no georeference", hints.again().after(edit))


def scene_bounds(source: Any, path: Path) -> Bounds:
    """Returns the bounds of a scene: (west, south, east, north) in degrees, with a margin of 10 % on each side.

    The scene may be rotated, so 9 × 9 points of the scene are projected. If the scene may cross the antimeridian, the
    bounds contain all longitudes.

    Raises:
        DataError: the coordinates of the scene are outside the area in which the CRS is valid.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    columns, rows = np.meshgrid(np.linspace(0, source.width, 9), np.linspace(0, source.height, 9))
    xs, ys = source.transform * (columns.ravel(), rows.ravel())
    try:
        lon, lat = (np.asarray(axis) for axis in transform(source.crs, "EPSG:4326", xs, ys))
    except (RasterioError, CPLE_BaseError):
        lon = lat = np.array([np.inf])
    if not (np.isfinite(lon).all() and np.isfinite(lat).all() and np.abs(lat).max() <= _MAX_LAT):
        corner, crs = f"{xs[0]:.6g}, {ys[0]:.6g}", source.crs.to_string()[:80]
        raise DataError(f"`{path}` has a corner at {corner}, outside the area of its CRS ({crs})", _set_crs(path))
    margin_lon, margin_lat = 0.1 * np.ptp(lon), 0.1 * np.ptp(lat)
    south, north = float(lat.min() - margin_lat), float(lat.max() + margin_lat)
    if np.ptp(lon) > 180 or np.abs(lon).max() > 180:  # longitudes may exceed 180, or range from 0 to 360
        return -180.0, south, 180.0, north
    return float(lon.min() - margin_lon), south, float(lon.max() + margin_lon), north


def transform_near(source: Any, tile: TileId) -> Any:
    """Returns the affine transform of a scene (georeferenced image), for sampling the scene at a tile.

    If the CRS is in degrees, the transform is shifted in longitude by the multiple of 360° that brings the scene
    closest to the tile. The shift is needed for scenes whose longitudes exceed 180° or range from 0° to 360°.
    """
    from rasterio.transform import Affine

    if not source.crs.is_geographic:
        return source.transform
    west, _, east, _ = tile_bounds(*tile)
    middle: float = (source.transform * (source.width / 2, source.height / 2))[0]
    return Affine.translation(-360.0 * round((middle - (west + east) / 2) / 360.0), 0.0) * source.transform


def meets(a: Bounds, b: Bounds) -> bool:
    """Returns True if two bounding boxes (west, south, east, north) intersect or touch."""
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def convert_hint(path: Path, *command: str) -> Hint:
    """Returns a hint: commands that convert a scene, rename the original to `*.bak`, and repeat the failed command.

    The failed command is the geojepa command that could not read the scene. geojepa ignores files named `*.bak`, so the
    repeated command reads only the converted scene.

    Args:
        path: path of the scene.
        command: conversion program and its options, without file names.
    """
    made = str(path.with_name(f"{path.stem}-converted.tif"))
    converted = hints.shell("mv", str(path), f"{path}.bak").after(hints.shell(*command, str(path), made))
    return hints.again().after(converted)


def _other_georeference(source: Any) -> tuple[str, tuple[str, ...]] | None:
    """Returns a description of the georeference that a dataset has instead of a transform, and gdalwarp options.

    Such a georeference is, for example, a set of ground control points. gdalwarp applies it with the returned options.
    Returns None if the dataset has no such georeference.
    """
    points, crs = source.gcps
    if points:
        return f"{len(points)} ground control points", () if crs else ("-s_srs", _guess_crs(points))
    if source.rpcs is not None:
        return "rational polynomial coefficients (RPC)", ("-rpc",)
    if source.tags(ns="GEOLOCATION"):
        return "a geolocation array", ("-geoloc",)
    return None


def _guess_crs(points: Any) -> str:
    degrees = all(abs(point.x) <= 360 and abs(point.y) <= 90 for point in points)
    return "EPSG:4326" if degrees else "EPSG:CODE"


def _warp_hint(source: Any, path: Path, options: tuple[str, ...]) -> Hint:
    from rasterio.enums import MaskFlags

    # Pixels of the result outside the scene must be marked as invalid.
    states_validity = MaskFlags.all_valid not in source.mask_flag_enums[0]
    alpha = () if states_validity else ("-dstalpha",)
    return convert_hint(path, "gdalwarp", "-r", "bilinear", *options, "-t_srs", _WARPED_CRS, *alpha)


def _set_crs(path: Path) -> Hint:
    return hints.again().after(hints.shell("gdal_edit.py", "-a_srs", "EPSG:CODE", str(path)))
