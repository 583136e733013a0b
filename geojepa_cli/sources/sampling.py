"""Projects the pixels of a tile's image into a scene, and samples the scene bilinearly at these positions.

Scenes with at least twice the resolution of the tile's image are downsampled first (see `scene_window`).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.grid import SEMI_MAJOR_AXIS_M, TileId

MERCATOR = "EPSG:3857"
_POINTS = 9  # number of points along each side of a tile that are projected exactly
_MAX_ERROR_PX = 0.02  # maximum error of the quadratic fit at these points, in pixels of the scene

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class PixelGrid(NamedTuple):
    """Position of a tile in a scene (georeferenced image), in scene pixels from the scene's upper left corner.

    Attributes:
        columns, rows: scene column and scene row of 9 × 9 evenly spaced points of the tile, float64 [9, 9] each. The
            outermost points lie on the edges of the tile.
        scale: side length of a pixel of the tile's image, in scene pixels.
    """

    columns: Doubles
    rows: Doubles
    scale: float


def tile_transform(tile: TileId, size_px: int) -> Any:
    """Returns the affine transform from pixels of a tile's image to Web Mercator coordinates in metres."""
    from rasterio.transform import from_origin

    half = np.pi * SEMI_MAJOR_AXIS_M
    side = 2.0 * half / 2**tile.z
    return from_origin(tile.x * side - half, half - tile.y * side, side / size_px, side / size_px)


def locate_tile(tile: TileId, size_px: int, crs: Any, transform: Any) -> PixelGrid | None:
    """Returns the position of a tile in a scene (georeferenced image) with the given CRS and transform.

    Returns None if the tile cannot be projected to the CRS.
    """
    steps = np.linspace(0.0, size_px, _POINTS)
    columns, rows = _project(tile, size_px, crs, transform, *np.meshgrid(steps, steps))
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return None
    across, down = (
        [float(np.diff(grid, axis=axis).mean()) for grid in (columns, rows)] for axis in (1, 0)
    )  # steps from one point to the next, in pixels of the scene
    area = abs(across[0] * down[1] - across[1] * down[0])
    return PixelGrid(columns, rows, float(np.sqrt(area) * (_POINTS - 1) / size_px))


def pixel_positions(grid: PixelGrid, tile: TileId, size_px: int, crs: Any, transform: Any) -> tuple[Doubles, Doubles]:
    """Returns the position in the scene (georeferenced image) of every pixel of a tile's image.

    A position is the scene column and scene row of the pixel's centre. Columns and rows are float64 [side, side] each.
    The positions are computed with a quadratic polynomial that is fitted to the 9 × 9 points of the `PixelGrid`. If the
    fit is not accurate enough, every pixel is projected exactly.
    """
    fitted = _fit_parabola(grid)
    if fitted is None:
        centres = np.arange(size_px) + 0.5
        return _project(tile, size_px, crs, transform, *np.meshgrid(centres, centres))
    u = (2.0 * np.arange(size_px) + 1.0) / size_px - 1.0
    v = u[:, None]
    columns, rows = (k[0] + u * (k[1] + k[3] * u) + v * (k[2] + k[4] * u + k[5] * v) for k in fitted.T)
    return columns, rows


def sample(data: npt.NDArray[Any], columns: Doubles, rows: Doubles, scale: float) -> Floats:
    """Samples a raster bilinearly. Positions outside the raster get the values at its edge.

    If `scale` is above 1, the raster is smoothed first, to avoid aliasing. Smoothing along each axis has the weights
    (a, 1 - 2a, a). Smoothing and bilinear sampling together act like a triangle filter with a half width of `scale`
    pixels. To find `a`, their variances are set equal: 2a + 1/6 = scale² / 6.

    Args:
        data: raster, [bands, height, width].
        columns, rows: positions to sample, in raster pixels from the upper left corner, [side, side].
        scale: side length of a pixel of the tile's image in raster pixels, at most 2.

    Returns:
        float32 [bands, side, side].
    """
    values = _smooth(data.astype(np.float32), max(0.0, (scale * scale - 1.0) / 12.0))
    if min(values.shape[1:]) < 2:
        values = np.pad(values, ((0, 0), (0, 1), (0, 1)), "edge").astype(np.float32)
    bands, height, width = values.shape
    left = np.clip(np.floor(columns - 0.5), 0, width - 2)
    top = np.clip(np.floor(rows - 0.5), 0, height - 2)
    across = np.clip(columns - 0.5 - left, 0.0, 1.0).astype(np.float32)
    down = np.clip(rows - 0.5 - top, 0.0, 1.0).astype(np.float32)
    first = (top * width + left).astype(np.intp)
    both = across * down
    corners = [(first, 1 - across - down + both), (first + 1, across - both)]
    corners += [(first + width, down - both), (first + width + 1, both)]
    out = np.zeros((bands, *columns.shape), np.float32)
    for plane, values_out in zip(values.reshape(bands, -1), out, strict=True):
        for at, weight in corners:
            values_out += plane.take(at) * weight
    return out


def _smooth(values: Floats, a: float) -> Floats:
    """Smooths a raster along both axes with the weights (a, 1 - 2a, a). Edge values are repeated beyond the edge."""
    if a < 1e-3:
        return values
    for axis in (1, 2):
        view = np.moveaxis(values, axis, 0)
        out = np.empty_like(values)
        inner = np.moveaxis(out, axis, 0)
        inner[:] = view * np.float32(1 - 2 * a)
        scaled = view * np.float32(a)
        inner[1:] += scaled[:-1]
        inner[:-1] += scaled[1:]
        inner[0] += scaled[0]
        inner[-1] += scaled[-1]
        values = out
    return values


def _fit_parabola(grid: PixelGrid) -> Doubles | None:
    """Fits quadratic polynomials that convert positions in a tile to columns and rows of a scene (georeferenced image).

    Returns:
        Coefficients [6, 2] of the terms 1, u, v, u², uv and v², where (u, v) is the position in the tile, from -1 to 1.
        `[:, 0]` gives the column of the scene, and `[:, 1]` gives the row. None if the polynomials are too inaccurate
        at one of the 9 × 9 points of the `PixelGrid`.
    """
    points = np.stack([grid.columns.ravel(), grid.rows.ravel()], 1)
    fitted: Doubles = _solver() @ points
    error = np.abs(_terms() @ fitted - points).max()
    return fitted if error <= _MAX_ERROR_PX else None


@functools.cache
def _terms() -> Doubles:
    u, v = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-1.0, 1.0, _POINTS)] * 2))
    terms: Doubles = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], 1)
    return terms


@functools.cache
def _solver() -> Doubles:
    return np.asarray(np.linalg.pinv(_terms()), np.float64)


def _project(
    tile: TileId, size_px: int, crs: Any, transform: Any, columns: Doubles, rows: Doubles
) -> tuple[Doubles, Doubles]:
    """Converts pixel positions in a tile's image to pixel positions in a scene (georeferenced image).

    Positions that cannot be projected become infinite.
    """
    xs, ys = tile_transform(tile, size_px) * (columns, rows)
    xs, ys = _transformer(crs.to_wkt()).transform(xs, ys)
    with np.errstate(invalid="ignore"):  # infinity times zero
        found: tuple[Doubles, Doubles] = ~transform * (xs, ys)
    return found


@functools.lru_cache(maxsize=64)
def _transformer(wkt: str) -> Any:
    """Returns a transformer from Web Mercator to a CRS. Transformers are cached, because creating one is slow."""
    from pyproj import Transformer
    from pyproj.exceptions import CRSError, ProjError

    try:
        return Transformer.from_crs(MERCATOR, wkt, always_xy=True)
    except (CRSError, ProjError) as error:
        message = f"Web Mercator cannot be transformed to the CRS {wkt[:80]}…: {error}"
        raise DataError(message, hints.shell("gdalinfo", "FILE")) from error
