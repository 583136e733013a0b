"""Where a tile's pixels lie in a scene, and the scene's values there: bilinear, on a raster that was averaged before to
at most twice the tile's resolution."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geojepa_cli.errors import DataError
from geojepa_cli.grid import SEMI_MAJOR_AXIS_M, TileId

MERCATOR = "EPSG:3857"
_NET = 9  # points along a side of a tile at which the projection is computed
_LARGEST_ERROR_PX = 0.02  # of a pixel of the scene, by the parabola through these points

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class Placing(NamedTuple):
    """Where a tile lies in a scene, in pixels from its upper left corner.

    Attributes:
        columns, rows: float64 [9, 9], of a net over the tile, edges included.
        finer: how many times finer the scene's pixels are than the tile's.
    """

    columns: Doubles
    rows: Doubles
    finer: float


def tile_transform(tile: TileId, size_px: int) -> Any:
    """The affine transform from pixels of a tile's image to metres of Web Mercator."""
    from rasterio.transform import from_origin

    half = np.pi * SEMI_MAJOR_AXIS_M
    side = 2.0 * half / 2**tile.z
    return from_origin(tile.x * side - half, half - tile.y * side, side / size_px, side / size_px)


def place(tile: TileId, size_px: int, crs: Any, transform: Any) -> Placing | None:
    """Where a tile lies in a scene of this CRS and transform; None where it has no place there."""
    steps = np.linspace(0.0, size_px, _NET)
    columns, rows = _project(tile, size_px, crs, transform, *np.meshgrid(steps, steps))
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return None
    across, down = (
        [float(np.diff(grid, axis=axis).mean()) for grid in (columns, rows)] for axis in (1, 0)
    )  # of a step of the net, in pixels of the scene
    area = abs(across[0] * down[1] - across[1] * down[0])
    return Placing(columns, rows, float(np.sqrt(area) * (_NET - 1) / size_px))


def pixel_places(placing: Placing, tile: TileId, size_px: int, crs: Any, transform: Any) -> tuple[Doubles, Doubles]:
    """Column and row in the scene of the middle of each of the tile's pixels: float64 [side, side] each.

    Over a tile the projection is a parabola as far as anybody can see; where it is not, every pixel is projected.
    """
    fitted = _parabola(placing)
    if fitted is None:
        middles = np.arange(size_px) + 0.5
        return _project(tile, size_px, crs, transform, *np.meshgrid(middles, middles))
    u = (2.0 * np.arange(size_px) + 1.0) / size_px - 1.0
    v = u[:, None]
    columns, rows = (k[0] + u * (k[1] + k[3] * u) + v * (k[2] + k[4] * u + k[5] * v) for k in fitted.T)
    return columns, rows


def sample(data: npt.NDArray[Any], columns: Doubles, rows: Doubles, coarser: float) -> Floats:
    """Values of a raster at places between its pixels' middles: float32 [bands, side, side]; at the edge, of the edge.

    Args:
        data: [bands, height, width].
        columns, rows: in its pixels, from its upper left corner.
        coarser: how many of its pixels one of the tile's is wide, at most 2. Above 1 it is smoothed before, so that the
            whole has the spread of a triangle as wide: 1/6 + 2a = coarser² / 6 for the weights (a, 1 - 2a, a).
    """
    values = _smoothed(data.astype(np.float32), max(0.0, (coarser * coarser - 1.0) / 12.0))
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


def _smoothed(values: Floats, a: float) -> Floats:
    """(a, 1 - 2a, a) along both axes; the edge continues."""
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


def _parabola(placing: Placing) -> Doubles | None:
    """Coefficients [6, 2] of 1, u, v, u², uv, v² (u and v from -1 to 1 over the tile) of column and row; None where
    the net is not one."""
    seen = np.stack([placing.columns.ravel(), placing.rows.ravel()], 1)
    fitted: Doubles = _solver() @ seen
    off = np.abs(_terms() @ fitted - seen).max()
    return fitted if off <= _LARGEST_ERROR_PX else None


@functools.cache
def _terms() -> Doubles:
    u, v = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-1.0, 1.0, _NET)] * 2))
    terms: Doubles = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], 1)
    return terms


@functools.cache
def _solver() -> Doubles:
    return np.asarray(np.linalg.pinv(_terms()), np.float64)


def _project(
    tile: TileId, size_px: int, crs: Any, transform: Any, columns: Doubles, rows: Doubles
) -> tuple[Doubles, Doubles]:
    """From pixels of a tile to pixels of a scene, infinite where the scene's projection ends."""
    xs, ys = tile_transform(tile, size_px) * (columns, rows)
    xs, ys = _transformer(crs.to_wkt()).transform(xs, ys)
    with np.errstate(invalid="ignore"):  # infinity times nothing
        found: tuple[Doubles, Doubles] = ~transform * (xs, ys)
    return found


@functools.lru_cache(maxsize=64)
def _transformer(wkt: str) -> Any:
    """Made once for each CRS, since that takes longer than a tile; pyproj gives each thread its own."""
    from pyproj import Transformer
    from pyproj.exceptions import CRSError, ProjError

    try:
        return Transformer.from_crs(MERCATOR, wkt, always_xy=True)
    except (CRSError, ProjError) as error:
        raise DataError(
            f"there is no way from Web Mercator to the CRS {wkt[:80]}…: {error}", "gdalinfo FILE"
        ) from error
