"""Memory-mapped columns of one `tiles.h5` or `processed.h5`.

HDF5 is asked once, at opening, where each contiguous dataset lies; from then on a column is a NumPy array over the
mapped file. Nothing is read before it is used, and any number of processes share the same pages.
"""

from __future__ import annotations

import functools
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from geojepa_cli.errors import DataError
from geojepa_cli.store import schema

Array = npt.NDArray[Any]
_NUMPY = {"u8": "<u1", "u16": "<u2", "u32": "<u4", "u64": "<u8", "i32": "<i4", "i64": "<i8", "f32": "<f4", "f64": "<f8"}
_POINTED = {
    "piece/object": "object/osm_id",
    "tag/vocab": "vocab/count",
    "member/object": "object/osm_id",
    "member/relation": "object/osm_id",
}
# what every view is compiled from, and so read whole in any case
_ALWAYS_READ = ("tile/pieces", "object/tags", "vocab/key", "vocab/value", *_POINTED)
VERIFY = "geojepa artifacts --verify"  # finds damage that leaves a file's size, and says how the file is made anew
XY_SHIFT, XY_SCALE = 8192, 49152  # u16 vertices: tile units = (value - 8192) / 49152


class RegionStore:
    """One file of the store, its columns as read-only arrays: `region["piece/area_m2"]`.

    Attributes:
        path: the file.
        name: the region's name, from the artifact's folder `NAME@id`, or as given.
        kind: `processed` or `tiles`.
        zoom: zoom of every tile.
        n_tiles, n_objects, n_pieces, n_tags, n_vocab: rows of these tables.
    """

    def __init__(self, path: Path | str, name: str | None = None) -> None:
        """Opens a file and checks that it has every column of the schema.

        Raises:
            DataError: unreadable, of another schema, or a column is missing or of another type.
        """
        self.path = Path(path)
        self.name = name or self.path.resolve().parent.name.partition("@")[0]
        self._columns, attributes = map_columns(self.path, self._hint)
        found = attributes.get("schema_version")
        if found != schema.VERSION:
            raise DataError(f"`{self.path}` has schema {found}, this version reads {schema.VERSION}", self._hint)
        self.kind = str(attributes.get("kind"))
        self.zoom = int(attributes.get("zoom", 0))
        self._geometry_checked = False
        self._check()
        self.n_tiles, self.n_objects, self.n_pieces, self.n_tags, self.n_vocab = (
            len(self[column]) for column in ("tile/z", "object/osm_id", "piece/object", "tag/vocab", "vocab/count")
        )

    def __getitem__(self, column: str) -> Array:
        """A column by `table/name`, read-only; [n] or [n, width]."""
        return self._columns[column]

    def __contains__(self, column: str) -> bool:
        return column in self._columns

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process maps the file itself.
        return (RegionStore, (self.path, self.name))

    @functools.cached_property
    def keys(self) -> list[str]:
        """The key of every vocabulary row."""
        return self.strings("vocab/key")

    @functools.cached_property
    def values(self) -> list[str]:
        """The value of every vocabulary row."""
        return self.strings("vocab/value")

    @functools.cached_property
    def roles(self) -> list[str]:
        """The text of every row of `role/`."""
        return self.strings("role/text")

    def strings(self, column: str) -> list[str]:
        """All strings of a string column."""
        return [str(text) for text in self.string_rows(column, slice(None))]

    def string_rows(self, column: str, rows: slice | list[int] | Array) -> list[str]:
        """The strings of some rows of a string column."""
        offsets, text = self[column], self[column + "_utf8"].tobytes()
        starts, ends = offsets[:-1][rows].tolist(), offsets[1:][rows].tolist()
        return [text[a:b].decode("utf-8", "replace") for a, b in zip(starts, ends, strict=True)]

    def vertices(self, first: int, last: int) -> npt.NDArray[np.float32]:
        """Vertices float32 [n, 2] in tile units, for rows first..last of `node/` of a `processed.h5`."""
        return decode_xy(self["node/xy"][first:last])

    @property
    def _hint(self) -> str:
        command = "tile" if self.path.name == "tiles.h5" else "process"
        return f"geojepa {command} --region {self.name}"

    def _check(self) -> None:
        if self.kind not in ("tiles", "processed"):
            raise DataError(f"`{self.path}` is of kind `{self.kind}`, expected `tiles` or `processed`", self._hint)
        for name, column in schema.COLUMNS.items():
            if self.kind not in column.files:
                continue
            if name not in self._columns:
                raise DataError(f"`{self.path}` has no column `{name}`", self._hint)
            array = self._columns[name]
            expected = [np.dtype(_NUMPY[dtype]) for dtype in column.dtypes]
            width = array.shape[1] if array.ndim == 2 else 1
            if array.dtype not in expected or width != column.width:
                wanted = " or ".join(str(dtype) for dtype in expected)
                got = f"{array.dtype} × {width}"
                raise DataError(
                    f"column `{name}` of `{self.path}` is {got}, expected {wanted} × {column.width}", self._hint
                )
        self._check_lengths()
        self._check_rows(*(name for name in _ALWAYS_READ if name in self))

    def check_geometry(self) -> None:
        """Looks once whether vertices and edges can be found; called before they are first read.

        Raises:
            DataError: the offsets of parts, vertices or edges do not rise.
        """
        if not self._geometry_checked:
            self._check_rows("piece/parts", "piece/edges", "part/nodes")
            self._geometry_checked = True

    def _check_rows(self, *names: str) -> None:
        """Offsets rise from 0, and rows that a column points to exist: what damage breaks and the gather relies on."""
        for name in names:
            values = self[name]
            pointed = _POINTED.get(name)
            if pointed is not None:
                sound = len(values) == 0 or int(values.max()) < len(self[pointed])
            else:
                sound = len(values) == 0 or (int(values[0]) == 0 and bool((values[1:] >= values[:-1]).all()))
            if not sound:
                what = "offsets that do not rise" if pointed is None else "rows that do not exist"
                raise DataError(f"`{self.path}` is damaged: `{name}` holds {what}", VERIFY)

    def _check_lengths(self) -> None:
        """Columns of a table are of one length, and offsets end where the table they point into does."""
        rows: dict[str, tuple[int, str]] = {}
        present = {name: column for name, column in schema.COLUMNS.items() if name in self._columns}
        for name, column in present.items():
            if name.endswith("_utf8"):
                continue
            n = len(self[name]) - (1 if column.csr else 0)
            table = name.partition("/")[0]
            if rows.setdefault(table, (n, name))[0] != n:
                known, other = rows[table]
                raise DataError(f"`{self.path}`: `{name}` has {n} rows, `{other}` has {known}", self._hint)
        for name, column in present.items():
            if not column.csr or len(self[name]) == 0:
                continue
            pointed = len(self[column.csr]) if "/" in column.csr else rows.get(column.csr, (0, ""))[0]
            if int(self[name][-1]) != pointed:
                got = int(self[name][-1])
                raise DataError(f"`{self.path}`: `{name}` ends at {got}, `{column.csr}` has {pointed} rows", self._hint)


def decode_xy(stored: Array) -> npt.NDArray[np.float32]:
    """Stored vertices (u16 with headroom, or float32) as float32 tile units."""
    if stored.dtype != np.uint16:
        return np.asarray(stored, np.float32)
    # Whole numbers of this size are exact in float32, and a division rounds once: the nearest to the stored position.
    values = stored.astype(np.float32)
    values -= np.float32(XY_SHIFT)
    values /= np.float32(XY_SCALE)
    return values


def box_corners(centre: Array, side: Array) -> npt.NDArray[np.float32]:
    """Rectangles as four corners (x, y), counter-clockwise from the lowest (then leftmost), in tile units.

    Args:
        centre: [n, 2] as `decode_xy` gives them.
        side: float32 [n, 3], rows of `piece/box_side`.

    Returns:
        float32 [n, 8].
    """
    # column by column: NumPy is slow where the inner loop runs over two numbers
    (x, y), (along_x, along_y, ratio) = centre.T, side.T
    across_x, across_y = -along_y * ratio, along_x * ratio
    first_x, first_y, last_x, last_y = x - along_x, y - along_y, x + along_x, y + along_y
    corners = np.empty((len(side), 8), np.float32)
    np.subtract(first_x, across_x, out=corners[:, 0])
    np.subtract(first_y, across_y, out=corners[:, 1])
    np.subtract(last_x, across_x, out=corners[:, 2])
    np.subtract(last_y, across_y, out=corners[:, 3])
    np.add(last_x, across_x, out=corners[:, 4])
    np.add(last_y, across_y, out=corners[:, 5])
    np.add(first_x, across_x, out=corners[:, 6])
    np.add(first_y, across_y, out=corners[:, 7])
    return corners


def map_columns(path: Path, hint: str | None) -> tuple[dict[str, Array], Mapping[str, Any]]:
    """Every dataset of an HDF5 file as a read-only array over the mapped file, and the file's attributes.

    Raises:
        DataError: missing, not HDF5, truncated, or a dataset is chunked or compressed.
    """
    places: dict[str, tuple[tuple[int, ...], np.dtype[Any], int | None]] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            offset = item.id.get_offset()
            if offset is None and item.size:
                raise DataError(f"column `{name}` of `{path}` is not stored contiguously", hint)
            places[name] = (item.shape, item.dtype, offset)

    try:
        with h5py.File(path, "r") as file:
            attributes = {key: _plain(value) for key, value in file.attrs.items()}
            file.visititems(note)
        with path.open("rb") as handle:
            mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise DataError(f"`{path}` does not exist", hint) from error
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"`{path}` cannot be read: {error}", VERIFY) from error
    columns: dict[str, Array] = {}
    for name, (shape, dtype, offset) in places.items():
        if offset is None:
            columns[name] = np.empty(shape, dtype)
        elif offset + math.prod(shape) * dtype.itemsize > len(mapped):
            raise DataError(f"`{path}` is truncated: column `{name}` ends after the file", hint)
        else:
            columns[name] = np.ndarray(shape, dtype, buffer=mapped, offset=offset)
    return columns, attributes


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value
