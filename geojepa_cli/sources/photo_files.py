"""Finds the street-level photos that a user gives: the JPEG files of a folder, or the rows of a table."""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.sources.extract import sha256_of
from geojepa_cli.sources.imagery import ATTRIBUTION_FILE, read_attribution
from geojepa_cli.sources.places import find_places
from geojepa_cli.sources.raw_table import MISSING, TILE, RawTable
from geojepa_cli.sources.table_files import CSV, GEOJSON, PARQUET, read_table

SUFFIXES = (".jpg", ".jpeg")
OTHER_SUFFIXES = (".heic", ".heif", ".avif", ".png", ".webp", ".tif", ".tiff", ".dng", ".gif", ".bmp")
THUMBNAIL_FOLDERS = ("@eadir",)  # of file servers; hidden folders are left out too
FILE = ("file", "path", "filename", "file_name", "image", "photo", "image_path", "filepath")
HEADING = ("heading", "compass_angle", "bearing", "direction", "azimuth", "yaw")
FIELD_OF_VIEW = ("field_of_view", "fov", "hfov", "horizontal_fov")
NO_PLACE = "no_place"
_DEFAULT = math.nan  # of values that a table does not have


class Candidate(NamedTuple):
    """A photo that the user gave.

    Attributes:
        name: name of the file relative to the user's folder, with `/`; for a table, the path in the table.
        path: path of the file; None if the table has no path.
        place: longitude and latitude in the table; None for the place in EXIF.
        heading: heading in the table in degrees; NaN for the heading in EXIF.
        field_of_view: horizontal field of view in the table in degrees; NaN for that in EXIF.
        problem: reason why the photo cannot be used; empty if there is none.
    """

    name: str
    path: Path | None
    place: tuple[float, float] | None = None
    heading: float = _DEFAULT
    field_of_view: float = _DEFAULT
    problem: str = ""


class PhotoList(NamedTuple):
    """The photos of a folder or table, sorted by name.

    Attributes:
        photos: the photos.
        is_table: True for a table.
        attribution: lines of the `ATTRIBUTION.txt` in the folder.
        other: number of images in other formats in the folder, which are ignored.
    """

    photos: list[Candidate]
    is_table: bool
    attribution: tuple[str, ...] = ()
    other: int = 0

    def sha256(self, meter: Callable[[int, int], None] | None = None) -> str:
        """Returns the SHA-256 of names, places and contents of all photos, in hex.

        Args:
            meter: function that is called with (number of photos read, number of all photos).
        """
        digest = hashlib.sha256()
        known: dict[Path, str] = {}
        for number, photo in enumerate(self.photos, 1):
            name, lonlat = photo.name.encode(), photo.place or (math.nan, math.nan)
            digest.update(struct.pack("<Q", len(name)) + name)
            digest.update(struct.pack("<4d", *lonlat, photo.heading, photo.field_of_view) + photo.problem.encode())
            if photo.path is not None and is_file(photo.path):
                known[photo.path] = known.get(photo.path) or sha256_of(photo.path)
                digest.update(bytes.fromhex(known[photo.path]))
            if meter is not None:
                meter(number, len(self.photos))
        return digest.hexdigest()


def list_photos(path: Path, crs: str | None = None) -> PhotoList:
    """Lists the photos of a folder and its subfolders, or of a table. Opens no photo.

    Args:
        path: folder with JPEG files, or a CSV, GeoJSON or (Geo)Parquet file. Each row of a table has the path of a
            photo, relative to the folder of the table, and a point: a geometry, or coordinates in columns `lon` and
            `lat`, or `x` and `y`. It may have a heading and a horizontal field of view in degrees.
        crs: CRS of the coordinates in a table. Default: the CRS that the table states.

    Raises:
        NotFoundError: the path does not exist.
        UsageError: the path is neither a folder nor a table, or the table has no column with paths or points.
        DataError: there is no photo, or the table is damaged.
    """
    if path.is_dir():
        if crs is not None:
            message = f"`--crs {crs}` cannot be used: `{path}` is a folder, whose photos have their places in EXIF"
            raise UsageError(message, hints.instead(("--crs", crs)).noting("without `--crs`"))
        return _list_folder(path)
    suffix = path.suffix.lower()
    expected = "expected a folder with JPEG files, or a table (.csv, .geojson, .parquet)"
    if not path.exists():
        raise NotFoundError(f"`{path}` does not exist: {expected}", hints.again(photos="DIR"))
    if suffix not in (*CSV, *GEOJSON, *PARQUET):
        again = path.parent if suffix in SUFFIXES else "DIR"
        raise UsageError(f"`{path}` is neither a folder nor a table: {expected}", hints.again(photos=again))
    return PhotoList(_list_table(read_table(path, "photos"), crs), True)


def is_file(path: Path) -> bool:
    """Returns True for a regular file. Returns False for paths that the system refuses, such as too long ones."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _list_folder(folder: Path) -> PhotoList:
    found: list[Candidate] = []
    other = 0
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name.lower() not in THUMBNAIL_FOLDERS]
        for file in files:
            path = Path(parent, file)
            if file.startswith(".") or not is_file(path):  # such as `._photo.jpg` of macOS
                continue
            suffix = path.suffix.lower()
            other += suffix in OTHER_SUFFIXES
            if suffix in SUFFIXES:
                found.append(Candidate(_text(path.relative_to(folder).as_posix()), path))
    if not found:
        formats = f", but {console.counted(other, 'image')} in other formats" if other else ""
        raise DataError(f"`{folder}` holds no JPEG file (.jpg, .jpeg){formats}", hints.again(photos="DIR"))
    found.sort(key=lambda photo: photo.name)
    return PhotoList(found, False, tuple(read_attribution(folder / ATTRIBUTION_FILE)), other)


def _list_table(table: RawTable, crs: str | None) -> list[Candidate]:
    column = table.find(FILE)
    if column is None:
        known = ", ".join(f"`{name}`" for name in table.names[:8]) + (" …" if len(table.names) > 8 else "")
        message = f"`{table.path}` has no column with the paths of photos (columns: {known or 'none'})"
        hint = hints.again().noting("after the column of the paths is renamed to `file`")
        raise UsageError(f"{message}: expected a column `file`", hint)
    # a column of tiles is not a place of photos
    places = find_places(replace(table, names=[name for name in table.names if name.strip().lower() != TILE]), crs)
    if places.kind != "points":
        row = int(places.rows[0])
        raise table.wrong(row, "the geometry is a polygon: expected points")
    lonlat = dict(zip(places.rows.tolist(), map(tuple, places.lonlat.tolist()), strict=True))
    headings = _angles(table, table.find(HEADING), -360.0)
    fields = _angles(table, table.find(FIELD_OF_VIEW), 0.0)
    found: list[Candidate] = []
    for row, value in enumerate(table.column(column)):
        text = "" if value is None else str(value).strip()
        missing = text.lower() in MISSING
        name = table.row_names[row] if missing else _shown_path(text, table.path.parent)
        path = None if missing else table.path.parent / text
        place = lonlat.get(row)
        problem = "" if place is not None or missing else NO_PLACE
        found.append(Candidate(name, path, place, headings[row] % 360.0, fields[row], problem))
    order = sorted(range(len(found)), key=lambda row: (found[row].name, row))
    return [found[row] for row in order]


def _angles(table: RawTable, column: str | None, low: float) -> list[float]:
    """Returns the angles in a column, in degrees. NaN for missing values, and if there is no such column.

    Raises:
        DataError: an angle is `low` or less, or above 360. The message names the row.
    """
    if column is None:
        return [_DEFAULT] * len(table.row_names)
    values = table.numbers(column)
    stored = values.astype(np.float32)  # which rounds tiny angles to 0
    for row in np.flatnonzero((stored <= low) | (values > 360.0))[:1].tolist():
        raise table.wrong(row, f"`{column}` is {values[row]:g}: expected an angle from {low:g} to 360 degrees")
    return [float(value) for value in values]


def _shown_path(text: str, folder: Path) -> str:
    """Returns the name under which a photo of a table is stored. Absolute paths may reveal names of users."""
    path = Path(text)
    if not path.is_absolute():
        return _text(path.as_posix())
    inside = path.is_relative_to(folder.absolute())
    return _text(path.relative_to(folder.absolute()).as_posix() if inside else path.name)


def _text(name: str) -> str:
    """Returns a file name as text that can be encoded as UTF-8. Bytes that are not UTF-8 become `�`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
