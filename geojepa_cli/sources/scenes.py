"""Georeferenced images (GeoTIFF, VRT) in any CRS and bit depth: told apart and checked."""

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
from geojepa_cli.grid import Bounds, TileId, tile_bounds
from geojepa_cli.hints import paste

SUFFIXES = (".tif", ".tiff", ".vrt")
SAMPLE_PX = 512  # side of the decimated read from which a scene's range and its alpha band are judged
LOW_PERCENT, HIGH_PERCENT = 2.0, 98.0
_ALPHA_FULL = 0.5  # of what an alpha band shows, so much is opaque; otherwise it is data, such as NAIP's infrared
_POLE = 90.5  # degrees: half a pixel of a coarse raster may lie behind it
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")


class Scene(NamedTuple):
    """What is known of one georeferenced image before its pixels are read.

    Attributes:
        path: of the file.
        crs: as text, such as `EPSG:26911`.
        resolution: width and height of a pixel in units of the CRS.
        dtype: of its bands.
        bands: 1-based indices of red, green and blue (thrice the same for a grey image), and of near infrared where
            that is wanted.
        masked: whether its own mask, no-data value or alpha band says where it is valid; otherwise all of it is.
        date: of capture, `2020-08-31`, or "" where neither its tags nor its name say.
        bounds: west, south, east, north in degrees, with a margin.
        files: the file and those that belong to it (`.ovr`, `.msk`, `.aux.xml`; the parts of a VRT).
    """

    path: Path
    crs: str
    resolution: tuple[float, float]
    dtype: str
    bands: tuple[int, ...]
    masked: bool
    date: str
    bounds: Bounds
    files: tuple[Path, ...]


class Scaling(NamedTuple):
    """Values of other than 8-bit scenes go linearly from [low, high] to [0, 255], one range for all scenes and bands,
    so that neighbouring scenes and the colours keep their relation."""

    low: float
    high: float


def find_scenes(folder: Path) -> list[Path]:
    """The GeoTIFF and VRT files of a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def inspect_scene(path: Path, infrared: bool = False) -> Scene:
    """Opens a scene and looks at what tells whether it can be used.

    Args:
        path: of the file.
        infrared: whether that band is wanted too.

    Raises:
        DataError: it is no raster, lies nowhere on the earth, is complex or has a palette, or lacks infrared.
    """
    from rasterio.enums import ColorInterp

    with _opened(path) as source:
        if source.crs is None:
            raise DataError(f"`{path}` has no CRS", hint=_with_crs(path))
        if source.transform.is_identity or source.transform.is_degenerate or not np.isfinite(source.transform).all():
            hint = paste("gdal_edit.py", "-a_ullr", "WEST", "NORTH", "EAST", "SOUTH", str(path))
            raise DataError(f"`{path}` has no georeference", hint=hint)
        if ColorInterp.palette in source.colorinterp:
            raise DataError(f"`{path}` has a palette", paste("gdal_translate", "-expand", "rgb", str(path), "rgb.tif"))
        if len(set(source.dtypes)) > 1 or np.dtype(source.dtypes[0]).kind not in "uif":
            types = ", ".join(dict.fromkeys(source.dtypes))
            raise DataError(f"`{path}` has bands of type {types}", _floats(path))
        bands = _choose_bands(source)
        return Scene(
            path,
            source.crs.to_string(),
            source.res,
            source.dtypes[0],
            (*bands, _infrared(source, bands, path)) if infrared else bands,
            _is_masked(source),
            _date(source, path),
            _bounds(source, path),
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


def raw_bytes(path: Path) -> int:
    """Bytes of a scene's pixels, unpacked."""
    with _opened(path) as source:
        size: int = source.width * source.height * sum(np.dtype(name).itemsize for name in source.dtypes)
        return size


def ground_resolution(path: Path) -> tuple[float, float]:
    """Width and height of the middle pixel of a scene on the ground, in metres."""
    from pyproj import Geod
    from rasterio.warp import transform

    with _opened(path) as source:
        column, row = source.width / 2, source.height / 2
        places = [source.transform * at for at in ((column, row), (column + 1, row), (column, row + 1))]
        lon, lat = transform(source.crs, "EPSG:4326", *zip(*places, strict=True))
    _, _, metres = Geod(ellps="WGS84").inv(lon[:1] * 2, lat[:1] * 2, lon[1:], lat[1:])
    return float(metres[0]), float(metres[1])


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
                pixels = source.read(scene.bands, out_shape=(len(scene.bands), *shape)).astype(np.float64)
                valid = validity(source, scene.masked, pixels, out_shape=shape)
            samples.append(pixels[:, valid].ravel())
    if not samples:
        return None
    values = np.concatenate(samples)
    low, high = np.percentile(values, [LOW_PERCENT, HIGH_PERCENT]) if len(values) else (0.0, 0.0)
    if not low < high:
        names = ", ".join(f"`{scene.path}`" for scene in scenes if scene.dtype != "uint8")
        raise DataError(
            f"{names}: no two valid values, so no range to scale to 8 bits",
            hint=paste("gdalinfo", "-stats", str(scenes[0].path)),
        )
    return Scaling(float(low), float(high))


def meets(a: Bounds, b: Bounds) -> bool:
    """Whether two boxes (west, south, east, north) share a point."""
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def validity(source: Any, masked: bool, data: npt.NDArray[Any], **how: Any) -> npt.NDArray[np.bool_]:
    """Where pixels are valid: bool [rows, columns]. NaN never is."""
    finite: npt.NDArray[np.bool_] = np.isfinite(data).all(axis=0)
    return finite & (source.dataset_mask(**how) >= 128) if masked else finite


def _bounds(source: Any, path: Path) -> Bounds:
    """From a net of points, since the scene may lie askew; whole circles where it may cross the antimeridian.

    Raises:
        DataError: they lie nowhere on the earth, so that the CRS is not that of the coordinates.
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
    if not (np.isfinite(lon).all() and np.isfinite(lat).all() and np.abs(lat).max() <= _POLE):
        corner, crs = f"{xs[0]:.6g}, {ys[0]:.6g}", source.crs.to_string()[:80]
        raise DataError(f"`{path}` begins at {corner}, which is no place in its CRS, {crs}", hint=_with_crs(path))
    margin_lon, margin_lat = 0.1 * np.ptp(lon), 0.1 * np.ptp(lat)
    south, north = float(lat.min() - margin_lat), float(lat.max() + margin_lat)
    if np.ptp(lon) > 180 or np.abs(lon).max() > 180:  # degrees may go on past 180, or from 0 to 360
        return -180.0, south, 180.0, north
    return float(lon.min() - margin_lon), south, float(lon.max() + margin_lon), north


def turned(source: Any, tile: TileId) -> Any:
    """The transform of a scene; of one in degrees turned by whole circles to the side of a tile, since its degrees may
    go on past 180, or from 0 to 360."""
    from rasterio.transform import Affine

    if not source.crs.is_geographic:
        return source.transform
    west, _, east, _ = tile_bounds(*tile)
    middle: float = (source.transform * (source.width / 2, source.height / 2))[0]
    return Affine.translation(-360.0 * round((middle - (west + east) / 2) / 360.0), 0.0) * source.transform


def _with_crs(path: Path) -> str:
    return paste("gdal_edit.py", "-a_srs", "EPSG:CODE", str(path))


def _floats(path: Path) -> str:
    return paste("gdal_translate", "-ot", "Float32", str(path), "float.tif")


def _choose_bands(source: Any) -> tuple[int, int, int]:
    from rasterio.enums import ColorInterp

    colours = list(source.colorinterp)
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(colour in colours for colour in wanted):
        red, green, blue = (colours.index(colour) + 1 for colour in wanted)
        return red, green, blue
    return (1, 2, 3) if source.count >= 3 else (1, 1, 1)


def _infrared(source: Any, bands: tuple[int, int, int], path: Path) -> int:
    """The band that says so, else the first one that is neither a colour nor transparency."""
    from rasterio.enums import ColorInterp

    colours = list(source.colorinterp)
    if ColorInterp.nir in colours:
        return colours.index(ColorInterp.nir) + 1
    transparent = _alpha_band(source)
    left = [index for index in source.indexes if index not in bands and index != transparent]
    if not left or source.count < 4:
        raise DataError(f"`{path}` has no infrared band", hint="geojepa tile --bands rgb")
    return int(left[0])


def _is_masked(source: Any) -> bool:
    """Whether the dataset's mask is one."""
    from rasterio.enums import ColorInterp, MaskFlags

    if ColorInterp.alpha in source.colorinterp and _alpha_band(source) is None:
        return False
    return any(MaskFlags.all_valid not in flags for flags in source.mask_flag_enums)


def _alpha_band(source: Any) -> int | None:
    """The band that tells where the scene is transparent. GDAL takes the fourth band of four for one where nothing
    else is said, and in aerial images that is infrared."""
    from rasterio.enums import ColorInterp

    if ColorInterp.alpha not in source.colorinterp:
        return None
    index = int(source.colorinterp.index(ColorInterp.alpha)) + 1
    alpha = source.read(index, out_shape=_decimated(source))
    full = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1.0
    shown = alpha[alpha != 0]
    return None if len(shown) and np.mean(shown == full) < _ALPHA_FULL else index


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


def open_raster(path: Path) -> Any:
    """The dataset of a file; `reading` turns what it raises into an error of ours."""
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # it is an error of ours
        # what calls itself a GeoTIFF and is a VRT would be copied without its parts
        return rasterio.open(path, driver="VRT" if path.suffix.lower() == ".vrt" else "GTiff")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with reading(path), open_raster(path) as source:
        yield source


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Failures of GDAL with a file as errors of ours."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        told = str(error.__cause__ or error).replace(str(path), path.name)
        raise DataError(f"`{path}` cannot be read: {told}", hint=paste("gdalinfo", "-stats", str(path))) from error
