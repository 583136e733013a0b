"""Reads the part of a scene (a georeferenced image) that a tile needs.

A scene with at least twice the resolution of the tile's image is downsampled while it is read: each pixel that is
returned is the mean of a block of scene pixels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geojepa_cli.grid import TileId
from geojepa_cli.sources.georeference import transform_near
from geojepa_cli.sources.sampling import Doubles, Floats, locate_tile, pixel_positions, sample
from geojepa_cli.sources.scene_bands import MaskRule, find_valid
from geojepa_cli.sources.scenes import Scene

_MARGIN_PX = 2  # one pixel for bilinear sampling, one for rounding

Mask = npt.NDArray[np.bool_]


class ScenePart(NamedTuple):
    """The part of a scene (georeferenced image) that a tile needs.

    Attributes:
        data: pixels of the part, [bands, rows, columns]. They are downsampled if the scene has at least twice the
            resolution of the tile's image.
        valid: mask of valid pixels, bool [rows, columns]; None if all pixels are valid and the tile lies within the
            scene.
        columns, rows: positions of the pixel centres of the tile's image, as float64 [side, side] each. They are
            measured in pixels of `data` from its upper left corner.
        scale: side length of a pixel of the tile's image in pixels of `data`, at most 2.
    """

    data: npt.NDArray[Any]
    valid: Mask | None
    columns: Doubles
    rows: Doubles
    scale: float


class _Window(NamedTuple):
    """A rectangle of a scene in scene pixels, and the integer factor by which the rectangle is downsampled.

    Downsampling replaces each block of factor × factor pixels by its mean. The indices of the first column and of the
    first row are multiples of the factor.
    """

    column: int
    row: int
    width: int
    height: int
    factor: int

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns of the window after downsampling."""
        return -(-self.height // self.factor), -(-self.width // self.factor)


def read_part(source: Any, scene: Scene, mask: MaskRule, tile: TileId, size_px: int) -> ScenePart | None:
    """Reads the part of a rasterio dataset that a tile needs.

    Args:
        source: rasterio dataset of the scene.
        scene: description of the scene, with the bands to read.
        mask: rule that decides which pixels are valid.
        tile: tile whose image is made.
        size_px: side length of the tile's image in pixels.

    Returns:
        The part of the scene, or None if the tile lies outside the scene.
    """
    transform = transform_near(source, tile)
    grid = locate_tile(tile, size_px, source.crs, transform)
    if grid is None:
        return None
    (left, top), (right, bottom) = ([axis(points) for points in (grid.columns, grid.rows)] for axis in (np.min, np.max))
    if right <= 0 or bottom <= 0 or left >= source.width or top >= source.height:
        return None
    factor = _averaging_factor(source, grid.scale)
    window = _enclose(source, left, top, right, bottom, factor)
    if window is None:
        return None
    data, how = _read(source, scene.bands, mask, window)
    within = left >= 0 and top >= 0 and right <= source.width and bottom <= source.height
    valid = None
    if mask.applies or data.dtype.kind == "f" or not within:
        found = find_valid(source, mask, data, **how)
        valid = None if within and found.all() else found
    columns, rows = pixel_positions(grid, tile, size_px, source.crs, transform)
    height, width = window.shape
    columns = (columns - window.column) * (width / window.width)
    rows = (rows - window.row) * (height / window.height)
    return ScenePart(data, valid, columns, rows, grid.scale / factor)


def sample_part(part: ScenePart) -> tuple[Floats, Mask] | None:
    """Samples a part of a scene (georeferenced image) at the pixels of a tile's image.

    If some scene pixels are invalid, they are set to 0. The values and the mask of valid pixels are then both sampled,
    and the sampled values are divided by the sampled mask. So invalid pixels neither darken their neighbours nor leave
    a seam.

    Returns:
        Values float32 [bands, side, side] and mask of valid values bool [side, side]; None if no value is valid.
    """
    where = part.columns, part.rows, part.scale
    if part.valid is None:
        return sample(part.data, *where), np.ones(part.columns.shape, bool)
    weighted = np.zeros((len(part.data) + 1, *part.valid.shape), np.float32)
    np.copyto(weighted[:-1], part.data, where=part.valid, casting="unsafe")
    weighted[-1] = part.valid
    out = sample(weighted, *where)
    weight, (height, width) = out[-1], part.valid.shape
    inside = (part.columns >= 0) & (part.columns <= width) & (part.rows >= 0) & (part.rows <= height)
    valid = inside & (weight >= 0.5)
    values = (out[:-1] / np.where(valid, weight, np.float32(1.0))).astype(np.float32, copy=False)
    return (values, valid) if valid.any() else None


def _enclose(source: Any, left: float, top: float, right: float, bottom: float, factor: int) -> _Window | None:
    """Returns the window of a scene that contains a bounding box and a margin around it; None if the window is empty.

    The edges of the window are moved outwards to multiples of the factor. The window then covers whole pixels of the
    overview (a downsampled copy of the scene in the same file), so the overview need not be resampled. Finally, the
    window is clipped to the scene.

    Args:
        source: rasterio dataset of the scene.
        left, top, right, bottom: bounding box in scene pixels.
        factor: factor by which the window is downsampled.
    """
    margin = _MARGIN_PX * factor
    column = int(max(0, np.floor((left - margin) / factor) * factor))
    row = int(max(0, np.floor((top - margin) / factor) * factor))
    width = int(min(source.width, np.ceil((right + margin) / factor) * factor)) - column
    height = int(min(source.height, np.ceil((bottom + margin) / factor) * factor)) - row
    return _Window(column, row, width, height, factor) if width > 0 and height > 0 else None


def _read(
    source: Any, bands: tuple[int, ...], mask: MaskRule, window: _Window
) -> tuple[npt.NDArray[Any], dict[str, Any]]:
    """Reads the pixels of a window, downsampled by the factor of the window.

    Returns:
        Pixels [bands, rows, columns], and the keyword arguments for `source.read` that downsample in the same way. The
        caller uses these arguments to read the mask band, no-data masks or alpha band of the same pixels.
    """
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    area = Window(window.column, window.row, window.width, window.height)
    how = {"window": area, "out_shape": window.shape, "resampling": Resampling.average}
    if not mask.ignored_alpha:
        return source.read(bands, **{**how, "out_shape": (len(bands), *window.shape)}), how
    # GDAL would use the infrared band as alpha to weight its averages, so the averages are computed here.
    overview = _coarsest_overview(source, window.factor)
    full = window._replace(factor=overview).shape
    pixels = source.read(bands, window=area, out_shape=(len(bands), *full))
    return _average(pixels, window.factor // overview), how


def _average(pixels: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """Replaces each block of factor × factor pixels by its mean. Blocks at the right and lower edge may be smaller."""
    if factor == 1:
        return pixels
    sums = pixels.astype(np.float32)
    for axis in (1, 2):
        starts = np.arange(0, pixels.shape[axis], factor)
        counts = np.diff(np.append(starts, pixels.shape[axis])).astype(np.float32)
        sums = np.add.reduceat(sums, starts, axis=axis)
        sums /= counts.reshape([-1 if dimension == axis else 1 for dimension in range(3)])
    return np.rint(sums).astype(pixels.dtype) if pixels.dtype.kind in "ui" else sums


def _averaging_factor(source: Any, scale: float) -> int:
    """Returns the integer factor by which a scene is downsampled for a tile; 1 if the scene is not downsampled.

    A scene may have overviews, which are downsampled copies of the scene in the same file. The pixels are read from the
    coarsest overview that is at least as fine as the tile's image. So the returned factor is a multiple of the
    downsampling factor of this overview.

    Args:
        source: rasterio dataset of the scene.
        scale: side length of a pixel of the tile's image in scene pixels.
    """
    overview = _coarsest_overview(source, scale)
    return overview * max(1, int(scale / overview))


def _coarsest_overview(source: Any, scale: float) -> int:
    """Returns the downsampling factor of the coarsest overview whose factor does not exceed `scale`.

    Returns 1 if the dataset has no such overview.
    """
    return max([int(factor) for factor in source.overviews(1) if factor <= scale], default=1)
