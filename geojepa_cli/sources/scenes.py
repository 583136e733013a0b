"""Finds, inspects and opens scenes: georeferenced images (GeoTIFF, VRT) in any CRS and bit depth."""

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
    """Description of a scene (one georeferenced image), without its pixels.

    Attributes:
        path: path of the file.
        crs: CRS as text, such as `EPSG:26911`.
        resolution: width and height of a pixel in units of the CRS.
        dtype: data type of the bands.
        bands: 1-based indices of the red, green and blue bands, and of the near-infrared band if it was requested. For
            a grey image, red, green and blue are the same band.
        mask: rule that decides which pixels are valid.
        date: date of capture, such as `2020-08-31`; "" if neither the TIFF tags nor the file name have a date.
        bounds: (west, south, east, north) in degrees, with a margin.
        files: the file at `path`, its sidecar files (`.ovr`, `.msk`, `.aux.xml`), and all files to which a VRT refers.
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
    """Checks that a scene (georeferenced image) can be used, and returns its description.

    Args:
        path: path of the file.
        infrared: True to select the near-infrared band too.

    Raises:
        DataError: the file is not a raster, has no georeference, has complex values or a colour palette, or lacks the
            requested near-infrared band.
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
        DataError: a file to which the VRT refers cannot be read.
    """
    from rasterio.shutil import copy

    with opened(vrt) as source:
        copy(source, target, driver="GTiff", tiled="YES", compress="DEFLATE", bigtiff="IF_SAFER")


def uncompressed_bytes(path: Path) -> int:
    """Returns the size in bytes of the pixels of a scene (georeferenced image) without compression."""
    with opened(path) as source:
        size: int = source.width * source.height * sum(np.dtype(name).itemsize for name in source.dtypes)
        return size


def ground_resolution(path: Path) -> tuple[float, float]:
    """Returns the width and height of a pixel on the ground in metres, measured in the middle of the scene."""
    from pyproj import Geod
    from rasterio.warp import transform

    with opened(path) as source:
        column, row = source.width / 2, source.height / 2
        corners = [source.transform * at for at in ((column, row), (column + 1, row), (column, row + 1))]
        lon, lat = transform(source.crs, "EPSG:4326", *zip(*corners, strict=True))
    _, _, metres = Geod(ellps="WGS84").inv(lon[:1] * 2, lat[:1] * 2, lon[1:], lat[1:])
    return float(metres[0]), float(metres[1])


def newest_first(scenes: Sequence[Scene]) -> list[Scene]:
    """Sorts scenes by date of capture, newest first, then by name. Scenes without a date come last."""
    by_name = sorted(scenes, key=lambda scene: scene.path.name)
    return sorted(by_name, key=lambda scene: scene.date, reverse=True)


def open_raster(path: Path) -> Any:
    """Opens a raster file with rasterio. Call this function within `raster_errors`, which converts errors of GDAL."""
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # `check_georeference` checks it
        # One driver per suffix: a VRT named `.tif` must not open, because it would be copied without its parts.
        return rasterio.open(path, driver="VRT" if path.suffix.lower() == ".vrt" else "GTiff")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Opens a raster file for a `with` block. Converts errors of GDAL to `DataError`."""
    with raster_errors(path), open_raster(path) as source:
        yield source


@contextmanager
def raster_errors(path: Path) -> Iterator[None]:
    """Converts errors of GDAL that are raised in a `with` block to a `DataError` that names the file."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        text = str(error.__cause__ or error).replace(str(path), path.name)
        raise DataError(f"`{path}` cannot be read: {text}", hints.shell("gdalinfo", "-stats", str(path))) from error


def _check_values(source: Any, path: Path) -> None:
    """Checks that the pixel values of a dataset are integers or floats, of one type in all bands.

    Raises:
        DataError: the values are indices into a colour palette or complex numbers, or the bands have different types.
    """
    from rasterio.enums import ColorInterp

    if ColorInterp.palette in source.colorinterp:
        message = f"`{path}` has a colour palette; expected red, green and blue bands"
        raise DataError(message, convert_hint(path, "gdal_translate", "-expand", "rgba"))
    if len(set(source.dtypes)) > 1 or np.dtype(source.dtypes[0]).kind not in "uif":
        types = ", ".join(dict.fromkeys(source.dtypes))
        hint = convert_hint(path, "gdal_translate", "-ot", "Float32")
        raise DataError(f"`{path}` has bands of type {types}; all bands must have the same integer or float type", hint)


def _capture_date(source: Any, path: Path) -> str:
    """Returns the date of capture from the TIFF tag `DateTime` or from the file name; "" if neither has a date."""
    tag = str(source.tags().get("TIFFTAG_DATETIME", ""))[:10].replace(":", "-")
    for text in (tag, path.stem):
        for year, month, day in reversed(_DATE.findall(text)):
            try:
                return datetime.date(int(year), int(month), int(day)).isoformat()
            except ValueError:
                continue
    return ""
