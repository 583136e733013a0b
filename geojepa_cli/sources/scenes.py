"""Georeferenced images (GeoTIFF, VRT) in any CRS and bit depth: told apart, checked, and resampled to image tiles.

A tile is resampled in two steps: the source is read averaged down by a whole factor to at most the tile's resolution
(from an overview where it has one, and only the window that the tile needs), then sampled bilinearly at the places
that GDAL's warper computes without approximation. Values and validity are warped side by side and divided, so that a
no-data border neither darkens its neighbours nor leaves a seam.
"""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geojepa_cli.errors import DataError
from geojepa_cli.grid import SEMI_MAJOR_AXIS_M, Bounds, TileId, tile_bounds
from geojepa_cli.store.images import SIZE_PX

SUFFIXES = (".tif", ".tiff", ".vrt")
MERCATOR = "EPSG:3857"
SAMPLE_PX = 512  # side of the decimated read from which a scene's range and its alpha band are judged
LOW_PERCENT, HIGH_PERCENT = 2.0, 98.0
_MARGIN_PX = 2  # bilinear needs one; the other is for rounding
_ALPHA_BETWEEN = 0.05  # an alpha band with a larger share of half-transparent pixels is data, such as NAIP's infrared
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")

Floats = npt.NDArray[np.float32]


class Scene(NamedTuple):
    """What is known of one georeferenced image before its pixels are read.

    Attributes:
        path: of the file.
        crs: as text, such as `EPSG:26911`.
        resolution: width and height of a pixel in units of the CRS.
        dtype: of its bands.
        bands: 1-based indices of red, green and blue (thrice the same for a grey image).
        masked: whether its own mask, no-data value or alpha band says where it is valid; otherwise all of it is.
        date: of capture, `2020-08-31`, or "" where neither its tags nor its name say.
        bounds: west, south, east, north in degrees, with a margin.
        files: the file and those that belong to it (`.ovr`, `.msk`, `.aux.xml`; the parts of a VRT).
    """

    path: Path
    crs: str
    resolution: tuple[float, float]
    dtype: str
    bands: tuple[int, int, int]
    masked: bool
    date: str
    bounds: Bounds
    files: tuple[Path, ...]


class Scaling(NamedTuple):
    """Values of other than 8-bit scenes go linearly from [low, high] to [0, 255], one range for all scenes and bands,
    so that neighbouring scenes and the colours keep their relation."""

    low: float
    high: float


class Picture(NamedTuple):
    """A tile's image.

    Attributes:
        pixels: uint8 [3, 224, 224]; 0 where nothing is valid.
        valid: bool [224, 224].
        scene: index of the newest scene that shows in it.
    """

    pixels: npt.NDArray[np.uint8]
    valid: npt.NDArray[np.bool_]
    scene: int


def find_scenes(folder: Path) -> list[Path]:
    """The GeoTIFF and VRT files of a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def inspect_scene(path: Path) -> Scene:
    """Opens a scene and looks at what tells whether it can be used.

    Raises:
        DataError: it is no raster, lies nowhere on the earth, is complex or has a palette.
    """
    from rasterio.enums import ColorInterp

    with _opened(path) as source:
        if source.crs is None:
            raise DataError(f"`{path}` has no CRS", hint=f"gdal_edit.py -a_srs EPSG:CODE {path}")
        if source.transform.is_identity or source.transform.is_degenerate:
            raise DataError(f"`{path}` has no georeference", hint=f"gdal_edit.py -a_ullr WEST NORTH EAST SOUTH {path}")
        if ColorInterp.palette in source.colorinterp:
            raise DataError(f"`{path}` has a palette", hint=f"gdal_translate -expand rgb {path} rgb.tif")
        if len(set(source.dtypes)) > 1 or np.dtype(source.dtypes[0]).kind not in "uif":
            types = ", ".join(dict.fromkeys(source.dtypes))
            raise DataError(f"`{path}` has bands of type {types}", hint=f"gdal_translate -ot Float32 {path} float.tif")
        return Scene(
            path,
            source.crs.to_string(),
            source.res,
            source.dtypes[0],
            _choose_bands(source),
            _is_masked(source),
            _date(source, path),
            _bounds(source),
            tuple(Path(name) for name in source.files if Path(name).is_file()),
        )


def materialise(vrt: Path, target: Path) -> None:
    """Writes what a VRT shows as a GeoTIFF of the same pixels, mask and tags.

    Raises:
        DataError: a file that it points to cannot be read.
    """
    from rasterio.shutil import copy

    with _opened(vrt) as source:
        how = {"tiled": "YES", "compress": "DEFLATE", "bigtiff": "IF_SAFER"}
        copy(source, target, driver="GTiff", **how)


def newest_first(scenes: Sequence[Scene]) -> list[Scene]:
    """By date of capture, undated ones last; those of one date by name."""
    by_name = sorted(scenes, key=lambda scene: scene.path.name)
    return sorted(by_name, key=lambda scene: scene.date, reverse=True)


def find_scaling(scenes: Sequence[Scene]) -> Scaling | None:
    """From the 2nd to the 98th percentile of the valid pixels of all scenes of more than 8 bits; None without such.

    Raises:
        DataError: a scene has no valid pixel, or all of one value.
    """
    samples = []
    for scene in scenes:
        if scene.dtype != "uint8":
            with _opened(scene.path) as source:
                shape = _decimated(source)
                pixels = source.read(scene.bands, out_shape=(3, *shape)).astype(np.float64)
                valid = _validity(source, scene.masked, pixels, out_shape=shape)
            samples.append(pixels[:, valid].ravel())
    if not samples:
        return None
    values = np.concatenate(samples)
    low, high = np.percentile(values, [LOW_PERCENT, HIGH_PERCENT]) if len(values) else (0.0, 0.0)
    if not low < high:
        names = ", ".join(f"`{scene.path}`" for scene in scenes if scene.dtype != "uint8")
        raise DataError(f"{names}: no two valid values, so no range to scale to 8 bits", hint="gdalinfo -stats FILE")
    return Scaling(float(low), float(high))


def meets(a: Bounds, b: Bounds) -> bool:
    """Whether two boxes (west, south, east, north) share a point."""
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


class Mosaic:
    """Scenes merged by validity, newest first. Files are opened when they are first needed; close it at the end."""

    def __init__(self, scenes: Sequence[Scene], scaling: Scaling | None) -> None:
        self.scenes, self.scaling = list(scenes), scaling
        self._open: dict[int, Any] = {}

    def close(self) -> None:
        """Closes the files."""
        for source in self._open.values():
            source.close()
        self._open.clear()

    def picture(self, tile: TileId) -> Picture | None:
        """The image of a tile, None where no scene has a valid pixel in it.

        Raises:
            DataError: a file cannot be read.
        """
        pixels = np.zeros((3, SIZE_PX, SIZE_PX), np.uint8)
        valid = np.zeros((SIZE_PX, SIZE_PX), bool)
        newest = -1
        for index, scene in enumerate(self.scenes):
            if not meets(tile_bounds(*tile), scene.bounds):
                continue
            found = self._warp(index, scene, tile)
            if found is None:
                continue
            values, there = found
            new = there & ~valid
            if new.any():
                pixels[:, new] = self._to_bytes(values, scene)[:, new]
                valid |= new
                newest = index if newest < 0 else newest
            if valid.all():
                break
        return Picture(pixels, valid, newest) if newest >= 0 else None

    def _to_bytes(self, values: Floats, scene: Scene) -> npt.NDArray[np.uint8]:
        if scene.dtype != "uint8" and self.scaling is not None:
            low, high = self.scaling
            values = (values - low) * (255.0 / (high - low))
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)

    def _warp(self, index: int, scene: Scene, tile: TileId) -> tuple[Floats, npt.NDArray[np.bool_]] | None:
        """Values float32 [3, 224, 224] and where they are valid, None where the scene lies elsewhere."""
        from rasterio.enums import Resampling
        from rasterio.warp import reproject

        with _reading(scene.path):
            if index not in self._open:
                self._open[index] = _open(scene.path)
            source = self._open[index]
            part = _read_part(source, scene, tile)
            if part is None:
                return None
            weighted, transform, scale = part
            out = np.zeros((4, SIZE_PX, SIZE_PX), np.float32)
            reproject(
                weighted,
                out,
                src_transform=transform,
                src_crs=source.crs,
                dst_transform=tile_transform(tile),
                dst_crs=MERCATOR,
                resampling=Resampling.bilinear,
                tolerance=0.0,
                XSCALE=scale,  # GDAL's own guess is from boxes, which widens the kernel for a scene that lies askew
                YSCALE=scale,
            )
        weight = out[3]
        valid = weight >= 0.5
        values = (out[:3] / np.where(valid, weight, np.float32(1.0))).astype(np.float32)
        return (values, valid) if valid.any() else None


def tile_transform(tile: TileId) -> Any:
    """The affine transform from pixels of a tile's image to metres of Web Mercator."""
    from rasterio.transform import from_origin

    half = np.pi * SEMI_MAJOR_AXIS_M
    side = 2.0 * half / 2**tile.z
    return from_origin(tile.x * side - half, half - tile.y * side, side / SIZE_PX, side / SIZE_PX)


def _read_part(source: Any, scene: Scene, tile: TileId) -> tuple[Floats, Any, float] | None:
    """What a tile needs of a scene: float32 [4, rows, columns] (valid values, 0 elsewhere; validity), its transform,
    and how many pixels of the tile one of it is wide, at most 1."""
    from rasterio.enums import Resampling
    from rasterio.transform import Affine
    from rasterio.windows import Window

    box = _pixel_box(source, tile)
    if box is None:
        return None
    left, top, right, bottom, finer = box
    factor = max(1, int(finer))
    margin = _MARGIN_PX * factor
    column = int(max(0, np.floor((left - margin) / factor) * factor))
    row = int(max(0, np.floor((top - margin) / factor) * factor))
    width = int(min(source.width, np.ceil(right + margin))) - column
    height = int(min(source.height, np.ceil(bottom + margin))) - row
    if width <= 0 or height <= 0:
        return None
    window = Window(column, row, width, height)
    shape = (-(-height // factor), -(-width // factor))
    how = {"window": window, "out_shape": shape, "resampling": Resampling.average}
    data = source.read(scene.bands, **{**how, "out_shape": (3, *shape)}).astype(np.float32)
    valid = _validity(source, scene.masked, data, **how)
    weighted = np.zeros((4, *shape), np.float32)
    weighted[:3, valid] = data[:, valid]
    weighted[3] = valid
    scale = Affine.scale(width / shape[1], height / shape[0])
    return weighted, source.transform * Affine.translation(column, row) * scale, min(1.0, factor / finer)


def _pixel_box(source: Any, tile: TileId) -> tuple[float, float, float, float, float] | None:
    """Left, top, right and bottom of a tile in the scene's pixels, and how many times finer these are than the tile's;
    None where it has no place there."""
    from rasterio.warp import transform

    steps = np.linspace(0.0, SIZE_PX, 9)
    columns, rows = (axis.ravel() for axis in np.meshgrid(steps, steps))
    xs, ys = tile_transform(tile) * (columns, rows)
    xs, ys = (np.asarray(axis) for axis in transform(MERCATOR, source.crs, xs, ys))
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        return None
    columns, rows = ~source.transform * (xs, ys)
    left, top, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
    outside = right <= 0 or bottom <= 0 or left >= source.width or top >= source.height
    if outside:
        return None
    across, down = (
        np.stack([np.diff(grid.reshape(9, 9), axis=axis).mean() for grid in (columns, rows)]) for axis in (1, 0)
    )
    area = abs(across[0] * down[1] - across[1] * down[0])
    return left, top, right, bottom, float(np.sqrt(area) / (SIZE_PX / 8))


def _validity(source: Any, masked: bool, data: npt.NDArray[Any], **how: Any) -> npt.NDArray[np.bool_]:
    """Where pixels are valid: bool [rows, columns]. NaN never is."""
    finite: npt.NDArray[np.bool_] = np.isfinite(data).all(axis=0)
    return finite & (source.dataset_mask(**how) >= 128) if masked else finite


def _bounds(source: Any) -> Bounds:
    """From a net of points, since the scene may lie askew; whole circles where it may cross the antimeridian."""
    from rasterio.warp import transform

    columns, rows = np.meshgrid(np.linspace(0, source.width, 9), np.linspace(0, source.height, 9))
    xs, ys = source.transform * (columns.ravel(), rows.ravel())
    lon, lat = (np.asarray(axis) for axis in transform(source.crs, "EPSG:4326", xs, ys))
    margin_lon, margin_lat = 0.1 * np.ptp(lon), 0.1 * np.ptp(lat)
    if np.ptp(lon) > 180:
        return -180.0, float(lat.min() - margin_lat), 180.0, float(lat.max() + margin_lat)
    west, east = float(lon.min() - margin_lon), float(lon.max() + margin_lon)
    return west, float(lat.min() - margin_lat), east, float(lat.max() + margin_lat)


def _choose_bands(source: Any) -> tuple[int, int, int]:
    from rasterio.enums import ColorInterp

    colours = list(source.colorinterp)
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(colour in colours for colour in wanted):
        red, green, blue = (colours.index(colour) + 1 for colour in wanted)
        return red, green, blue
    return (1, 2, 3) if source.count >= 3 else (1, 1, 1)


def _is_masked(source: Any) -> bool:
    """Whether the dataset's mask is one. GDAL takes the fourth band of four for an alpha band where nothing else is
    said, and in aerial images that is infrared."""
    from rasterio.enums import ColorInterp, MaskFlags

    if ColorInterp.alpha in source.colorinterp:
        index = source.colorinterp.index(ColorInterp.alpha) + 1
        alpha = source.read(index, out_shape=_decimated(source))
        full = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1.0
        if np.mean((alpha != 0) & (alpha != full)) > _ALPHA_BETWEEN:
            return False
    return any(MaskFlags.all_valid not in flags for flags in source.mask_flag_enums)


def _decimated(source: Any) -> tuple[int, int]:
    return min(source.height, SAMPLE_PX), min(source.width, SAMPLE_PX)


def _date(source: Any, path: Path) -> str:
    """Of the TIFF's own tag, else the last date in the file's name."""
    tag = str(source.tags().get("TIFFTAG_DATETIME", ""))[:10].replace(":", "-")
    for text in (tag, path.stem):
        for year, month, day in reversed(_DATE.findall(text)):
            try:
                return datetime.date(int(year), int(month), int(day)).isoformat()
            except ValueError:
                continue
    return ""


def _open(path: Path) -> Any:
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # it is an error of ours
        return rasterio.open(path)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with _reading(path), _open(path) as source:
        yield source


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        told = str(error.__cause__ or error).replace(str(path), path.name)
        raise DataError(f"`{path}` cannot be read: {told}", hint=f"gdalinfo -stats {path}") from error
