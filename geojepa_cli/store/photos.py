"""`photos.h5`: writes and memory-maps the street-level photos of a region, with their places and directions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.grid import tile_numbers
from geojepa_cli.store import csr, schema
from geojepa_cli.store.columns import VERIFY, ColumnSpec, Expected, map_columns, write_text
from geojepa_cli.store.image_form import MAX_PX, MIN_PX, SIZE_PX

PHOTOS_SCHEMA = 1
EXPECTED = Expected(
    PHOTOS_SCHEMA,
    {
        **{name: ColumnSpec(("<f8",)) for name in ("lon", "lat")},
        **{name: ColumnSpec(("<f4",)) for name in ("heading", "field_of_view")},
        "image": ColumnSpec(("<u1",), (None, 3, None, None)),
        "name": ColumnSpec(("<u8",)),
        "name_utf8": ColumnSpec(("<u1",)),
    },
)
_REBUILD = hints.run("fetch", photos="DIR")
_PIXELS = "photos.pixels"  # temporary file next to `photos.h5`


class PhotoRow(NamedTuple):
    """A photo to write.

    Attributes:
        name: name of the photo's file.
        lon, lat: place in degrees.
        heading: direction of the camera, in degrees clockwise from north, at least 0 and below 360. NaN if unknown.
        field_of_view: horizontal field of view of `pixels` in degrees. NaN if unknown.
        pixels: RGB, uint8 [3, side, side], rows from the top.
    """

    name: str
    lon: float
    lat: float
    heading: float
    field_of_view: float
    pixels: npt.NDArray[np.uint8]


class PhotoStore:
    """The street-level photos of one region, from a memory-mapped `photos.h5`.

    Attributes:
        lon, lat: place of each photo in degrees, float64 [n].
        heading: direction of the camera, in degrees clockwise from north, float32 [n]. NaN if unknown.
        field_of_view: horizontal field of view in degrees, float32 [n]. NaN if unknown.
        image: RGB, uint8 [n, 3, side, side], rows from the top.
    """

    def __init__(self, path: Path | str) -> None:
        """Opens a `photos.h5`.

        Raises:
            DataError: the file is unreadable or damaged, has another schema, or lacks a column.
        """
        self.path = Path(path)
        columns, _ = map_columns(self.path, EXPECTED, _REBUILD)
        self.lon, self.lat = columns["lon"], columns["lat"]
        self.heading, self.field_of_view = columns["heading"], columns["field_of_view"]
        self.image = columns["image"]
        self._names, self._name_utf8 = columns["name"], columns["name_utf8"]
        self._check()

    def _check(self) -> None:
        n = len(self.lon)
        lengths = {len(self.lat), len(self.heading), len(self.field_of_view), len(self.image), len(self._names) - 1}
        _, _, height, width = self.image.shape
        ends = self._names
        turns, fields = self.heading, self.field_of_view
        checks = {
            "columns differ in length": lengths == {n},
            f"photos are {width} × {height} px": MIN_PX <= height == width <= MAX_PX,
            "a place is out of range": (np.abs(self.lon) <= 180.0).all() and (np.abs(self.lat) <= 90.0).all(),
            "a heading is out of range": (np.isnan(turns) | ((turns >= 0.0) & (turns < 360.0))).all(),
            "a field of view is out of range": (np.isnan(fields) | ((fields > 0.0) & (fields <= 360.0))).all(),
            "offsets of names do not match the names": len(ends) > 0
            and int(ends[0]) == 0
            and int(ends[-1]) == len(self._name_utf8)
            and bool((ends[1:] >= ends[:-1]).all()),
        }
        for what, sound in checks.items():
            if not sound:
                raise DataError(f"`{self.path}` is damaged: {what}", VERIFY)

    def __len__(self) -> int:
        return len(self.lon)

    def __reduce__(self) -> tuple[Any, ...]:
        return (PhotoStore, (self.path,))

    @property
    def size_px(self) -> int:
        """Side of a photo in pixels."""
        return int(self.image.shape[-1])

    def name(self, row: int) -> str:
        """Returns the file name of a photo."""
        start, end = csr.span(self._names, row)
        return self._name_utf8[start:end].tobytes().decode("utf-8", "replace")

    def tiles(self, zoom: int) -> npt.NDArray[np.int64]:
        """Returns zoom, x and y of the tile that contains each photo: int64 [n, 3]."""
        x, y = tile_numbers(self.lon, self.lat, zoom)
        return np.stack([np.full_like(x, zoom), x, y], axis=1)


def write_photos(path: Path, photos: Iterable[PhotoRow], size_px: int = SIZE_PX) -> int:
    """Writes a `photos.h5`. Returns the number of photos.

    Columns are contiguous and aligned, so that they can be memory-mapped. They have no timestamps, so that the same
    photos always give the same bytes. A temporary file next to `path` takes the pixels, because the number of photos is
    known only at the end.

    Args:
        path: file to write.
        photos: photos in the order of the rows.
        size_px: side of the photos in pixels.
    """
    rows: list[PhotoRow] = []
    pixels, none = path.with_name(_PIXELS), np.empty(0, np.uint8)
    shape = (3, size_px, size_px)
    with pixels.open("w+b") as spool:
        for photo in photos:
            if photo.pixels.shape != shape:
                raise ValueError(f"the photo has shape {photo.pixels.shape}, expected {shape}")
            spool.write(np.ascontiguousarray(photo.pixels, np.uint8).tobytes())
            rows.append(photo._replace(pixels=none))
        spool.seek(0)
        with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as file:
            _write_columns(file, rows, size_px)
            image = file.create_dataset("image", (len(rows), *shape), np.uint8, track_times=False)
            for row in range(len(rows)):
                image[row] = np.frombuffer(spool.read(3 * size_px * size_px), np.uint8).reshape(shape)
    pixels.unlink()
    return len(rows)


def _write_columns(file: h5py.File, rows: list[PhotoRow], size_px: int) -> None:
    file.attrs["schema_version"] = np.uint32(PHOTOS_SCHEMA)
    write_text(file, "kind", "photos")
    file.attrs["size_px"] = np.uint32(size_px)
    names = [photo.name.encode() for photo in rows]
    columns = {
        "lon": np.array([photo.lon for photo in rows], np.float64),
        "lat": np.array([photo.lat for photo in rows], np.float64),
        # rounding to float32 can give 360
        "heading": np.array([photo.heading for photo in rows], np.float32) % np.float32(360.0),
        "field_of_view": np.array([photo.field_of_view for photo in rows], np.float32),
        "name": csr.offsets(np.array([len(name) for name in names], np.int64)).astype(np.uint64),
        "name_utf8": np.frombuffer(b"".join(names), np.uint8),
    }
    for name, values in columns.items():
        file.create_dataset(name, data=values, track_times=False)
