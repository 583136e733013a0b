"""Georeferenced images (GeoTIFF, VRT) in any CRS and bit depth: finds, inspects and opens them."""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.grid import Bounds
from geojepa_cli.sources.georeference import check_georeference, convert_hint, scene_bounds
from geojepa_cli.sources.scene_bands import MaskRule, choose_bands, find_mask_rule, infrared_band

SUFFIXES = (".tif", ".tiff", ".vrt")
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")


class Scene(NamedTuple):
    """One georeferenced image, before its pixels are read.

    Attributes:
        path: of the file.
        crs: as text, such as `EPSG:26911`.
        resolution: width and height of a pixel in units of the CRS.
        dtype: of its bands.
        bands: 1-based indices of red, green and blue (three times the same for a grey image), and of near infrared
            where that is requested.
        mask: what states which pixels are valid.
        date: of capture, `2020-08-31`, or "" where neither its tags nor its name have one.
        bounds: west, south, east, north in degrees, with a margin.
        files: the file and those that belong to it (`.ovr`, `.msk`, `.aux.xml`; the parts of a VRT).
    """

    path: Path
    crs: str
    resolution: tuple[float, float]
    dtype: str
    bands: tuple[int, ...]
    mask: MaskRule
    date: str
    bounds: Bounds
    files: tuple[Path, ...]


def find_scenes(folder: Path) -> list[Path]:
    """Returns the GeoTIFF and VRT files of a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def inspect_scene(path: Path, infrared: bool = False) -> Scene:
    """Opens a scene and checks that it can be used.

    Args:
        path: of the file.
        infrared: also choose the band of near infrared.

    Raises:
        DataError: not a raster, not georeferenced, of complex values, with a palette, or without infrared.
    """
    with opened(path) as source:
        check_georeference(source, path)
        _check_values(source, path)
        colours = choose_bands(source)
        bands = (*colours, infrared_band(source, colours, path)) if infrared else colours
        return Scene(
            path,
            source.crs.to_string(),
            source.res,
            source.dtypes[0],
            bands,
            find_mask_rule(source, colours),
            _capture_date(source, path),
            scene_bounds(source, path),
            tuple(Path(name) for name in source.files if Path(name).is_file()),
        )


def write_as_geotiff(vrt: Path, target: Path) -> None:
    """Writes a VRT as a GeoTIFF with the same pixels, mask and tags.

    Raises:
        DataError: a file that it refers to cannot be read.
    """
    from rasterio.shutil import copy

    with opened(vrt) as source:
        copy(source, target, driver="GTiff", tiled="YES", compress="DEFLATE", bigtiff="IF_SAFER")


def uncompressed_bytes(path: Path) -> int:
    """Returns the size of a scene's pixels in bytes, without compression."""
    with opened(path) as source:
        size: int = source.width * source.height * sum(np.dtype(name).itemsize for name in source.dtypes)
        return size


def ground_resolution(path: Path) -> tuple[float, float]:
    """Returns width and height of the middle pixel of a scene on the ground, in metres."""
    from pyproj import Geod
    from rasterio.warp import transform

    with opened(path) as source:
        column, row = source.width / 2, source.height / 2
        corners = [source.transform * at for at in ((column, row), (column + 1, row), (column, row + 1))]
        lon, lat = transform(source.crs, "EPSG:4326", *zip(*corners, strict=True))
    _, _, metres = Geod(ellps="WGS84").inv(lon[:1] * 2, lat[:1] * 2, lon[1:], lat[1:])
    return float(metres[0]), float(metres[1])


def newest_first(scenes: Sequence[Scene]) -> list[Scene]:
    """Sorts scenes by date of capture, undated ones last, and those of one date by name."""
    by_name = sorted(scenes, key=lambda scene: scene.path.name)
    return sorted(by_name, key=lambda scene: scene.date, reverse=True)


def open_raster(path: Path) -> Any:
    """Returns the dataset of a file; to be called within `raster_errors`."""
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # `check_georeference` checks it
        # a VRT whose name ends in `.tif` would be copied without its parts
        return rasterio.open(path, driver="VRT" if path.suffix.lower() == ".vrt" else "GTiff")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Opens a raster file, and converts GDAL's errors."""
    with raster_errors(path), open_raster(path) as source:
        yield source


@contextmanager
def raster_errors(path: Path) -> Iterator[None]:
    """Converts GDAL's errors with a file to `DataError`."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        text = str(error.__cause__ or error).replace(str(path), path.name)
        raise DataError(f"`{path}` cannot be read: {text}", hints.shell("gdalinfo", "-stats", str(path))) from error


def _check_values(source: Any, path: Path) -> None:
    """Checks that the pixel values are plain numbers.

    Raises:
        DataError: they are indices of a palette, complex, or of several types.
    """
    from rasterio.enums import ColorInterp

    if ColorInterp.palette in source.colorinterp:
        raise DataError(f"`{path}` has a palette", convert_hint(path, "gdal_translate", "-expand", "rgba"))
    if len(set(source.dtypes)) > 1 or np.dtype(source.dtypes[0]).kind not in "uif":
        types = ", ".join(dict.fromkeys(source.dtypes))
        hint = convert_hint(path, "gdal_translate", "-ot", "Float32")
        raise DataError(f"`{path}` has bands of type {types}, expected one integer or float type", hint)


def _capture_date(source: Any, path: Path) -> str:
    """Returns the date in the TIFF's own tag, else the last date in the file's name."""
    tag = str(source.tags().get("TIFFTAG_DATETIME", ""))[:10].replace(":", "-")
    for text in (tag, path.stem):
        for year, month, day in reversed(_DATE.findall(text)):
            try:
                return datetime.date(int(year), int(month), int(day)).isoformat()
            except ValueError:
                continue
    return ""
