"""Georeference of a scene: CRS, transform, ground control points, and bounds in degrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.grid import Bounds, TileId, tile_bounds
from geojepa_cli.hints import Hint

_MAX_LAT = 90.5  # degrees: half a pixel of a coarse raster may lie beyond the pole
_WARPED_CRS = "EPSG:3857"


def check_georeference(source: Any, path: Path) -> None:
    """Checks that a dataset has a CRS and an affine transform.

    A scene that has ground control points, rational polynomials or a geolocation array instead is refused: how it is
    to be warped (order of the polynomial, elevation model) is a choice of the user. The hint warps it.

    Raises:
        DataError: one of them is missing.
    """
    has_transform = not source.transform.is_identity
    if not has_transform and (what := _other_georeference(source)):
        raise DataError(f"`{path}` has {what[0]} instead of a transform", _warp_hint(source, path, what[1]))
    if source.crs is None:
        raise DataError(f"`{path}` has no CRS", _set_crs(path))
    if not has_transform or source.transform.is_degenerate or not np.isfinite(source.transform).all():
        hint = hints.shell("gdal_edit.py", "-a_ullr", "WEST", "NORTH", "EAST", "SOUTH", str(path))
        raise DataError(f"`{path}` has no georeference", hint)


def scene_bounds(source: Any, path: Path) -> Bounds:
    """Returns the box of a dataset, (west, south, east, north) in degrees, with a margin.

    The scene may be rotated, so 9 × 9 points are projected. One that may cross the antimeridian gets all longitudes.

    Raises:
        DataError: the points are nowhere on the earth, so the CRS is not that of the coordinates.
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
        raise DataError(f"the corner of `{path}`, {corner}, is outside of its CRS, {crs}", _set_crs(path))
    margin_lon, margin_lat = 0.1 * np.ptp(lon), 0.1 * np.ptp(lat)
    south, north = float(lat.min() - margin_lat), float(lat.max() + margin_lat)
    if np.ptp(lon) > 180 or np.abs(lon).max() > 180:  # degrees may continue past 180, or run from 0 to 360
        return -180.0, south, 180.0, north
    return float(lon.min() - margin_lon), south, float(lon.max() + margin_lon), north


def transform_near(source: Any, tile: TileId) -> Any:
    """Returns the transform of a dataset, shifted by whole circles towards a tile where it is in degrees.

    Degrees of a scene may continue past 180, or run from 0 to 360.
    """
    from rasterio.transform import Affine

    if not source.crs.is_geographic:
        return source.transform
    west, _, east, _ = tile_bounds(*tile)
    middle: float = (source.transform * (source.width / 2, source.height / 2))[0]
    return Affine.translation(-360.0 * round((middle - (west + east) / 2) / 360.0), 0.0) * source.transform


def meets(a: Bounds, b: Bounds) -> bool:
    """Returns True where two boxes (west, south, east, north) share a point."""
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def convert_hint(path: Path, *command: str) -> Hint:
    """Returns the shell commands that convert a scene and set the original aside, so that it is no scene any more.

    Args:
        path: of the scene.
        command: program and options, without the names of the files.
    """
    made = str(path.with_name(f"{path.stem}-converted.tif"))
    return hints.shell("mv", str(path), f"{path}.bak").after(hints.shell(*command, str(path), made))


def _other_georeference(source: Any) -> tuple[str, tuple[str, ...]] | None:
    """Returns what georeferences a dataset without a transform, and the options of gdalwarp that use it."""
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

    # pixels of the result that lie outside of the scene have to be invalid
    states_validity = MaskFlags.all_valid not in source.mask_flag_enums[0]
    alpha = () if states_validity else ("-dstalpha",)
    return convert_hint(path, "gdalwarp", "-r", "bilinear", *options, "-t_srs", _WARPED_CRS, *alpha)


def _set_crs(path: Path) -> Hint:
    return hints.shell("gdal_edit.py", "-a_srs", "EPSG:CODE", str(path))
