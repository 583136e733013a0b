"""`RegionStore`: memory-mapped columns of one `tiles.h5` or `processed.h5`.

The HDF5 library is used only to find the position of each column in the file. Each column is then a NumPy array over
the memory-mapped file. The operating system loads values when they are used. Processes share the loaded values.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint
from geojepa_cli.store import csr, schema
from geojepa_cli.store.columns import VERIFY, Array, ColumnSpec, Expected, map_columns

_NUMPY = {"u8": "<u1", "u16": "<u2", "u32": "<u4", "u64": "<u8", "i32": "<i4", "i64": "<i8", "f32": "<f4", "f64": "<f8"}
KINDS = ("tiles", "processed")
_POINTED = {
    "piece/object": "object/osm_id",
    "tag/vocab": "vocab/count",
    "member/object": "object/osm_id",
    "member/relation": "object/osm_id",
}
# number of distinct values of each enumeration column
_ENUMERATED = {
    "object/osm_type": len(schema.OSM_TYPE),
    "object/kind": len(schema.KIND),
    "object/token": len(schema.TOKEN),
    "part/role": len(schema.ROLE),
}
# Checked when a file is opened. Every view is compiled from these columns, so they are read anyway.
_ALWAYS_READ = ("tile/pieces", "object/tags", "vocab/key", "vocab/value", *_POINTED, *tuple(_ENUMERATED)[:3])
_GEOMETRY = ("piece/parts", "piece/edges", "part/nodes", "part/role")
EXPECTED = Expected(
    schema.VERSION,
    {
        name: ColumnSpec(
            tuple(_NUMPY[dtype] for dtype in column.dtypes),
            (None, column.width) if column.width > 1 else (None,),
            optional=True,  # until the file's kind is known
        )
        for name, column in schema.COLUMNS.items()
    },
    {"kind": str, "zoom": int},
)
XY_SHIFT, XY_SCALE = 8192, 49152  # of uint16 vertices: tile units = (value - 8192) / 49152


class RegionStore:
    """The `tiles.h5` or `processed.h5` of a region. Its columns are read-only arrays, such as `region["tile/z"]`.

    Attributes:
        path: path of the file.
        name: name of the region.
        kind: `tiles` or `processed`.
        zoom: zoom of every tile.
        n_tiles, n_objects, n_pieces, n_vocab: number of tiles, of OSM elements, of pieces (parts of OSM elements inside
            single tiles), and of distinct tags.
    """

    def __init__(self, path: Path | str, name: str | None = None) -> None:
        """Opens a file and checks that it has every column of the schema.

        Args:
            path: path of the file.
            name: name of the region. Default: the name of the folder that contains the file, up to `@`.

        Raises:
            DataError: the file is unreadable or has another schema, a column is missing or has another type, or offsets
                or row numbers are inconsistent.
        """
        self.path = Path(path)
        self.name = name or self.path.resolve().parent.name.partition("@")[0]
        columns, attributes = map_columns(self.path, EXPECTED, self._hint)
        self.kind, self.zoom = str(attributes.get("kind")), int(str(attributes.get("zoom", 0)))
        if self.kind not in KINDS:
            message = f"`{self.path}` is a `{self.kind}` file, expected a `tiles` or `processed` file"
            raise DataError(message, self._hint)
        self._columns = {name: columns[name] for name in columns if self.kind in schema.COLUMNS[name].files}
        self._geometry_checked = False
        self._check()
        self.n_tiles, self.n_objects, self.n_pieces, self.n_vocab = (
            len(self[column]) for column in ("tile/z", "object/osm_id", "piece/object", "vocab/count")
        )

    def __getitem__(self, column: str) -> Array:
        """Returns a column by its name `table/name`, as a read-only array: [n] or [n, width]."""
        return self._columns[column]

    def __contains__(self, column: str) -> bool:
        return column in self._columns

    def __reduce__(self) -> tuple[Any, ...]:
        # A process that receives the pickled store opens and maps the file again.
        return (RegionStore, (self.path, self.name))

    @functools.cached_property
    def keys(self) -> list[str]:
        """Key of every tag in the vocabulary (the list of distinct tags of the region)."""
        return self.strings("vocab/key")

    @functools.cached_property
    def values(self) -> list[str]:
        """Value of every tag in the vocabulary (the list of distinct tags of the region)."""
        return self.strings("vocab/value")

    @functools.cached_property
    def roles(self) -> list[str]:
        """Distinct roles of relation members, such as `outer`, in the order of the table `role/`."""
        return self.strings("role/text")

    def strings(self, column: str) -> list[str]:
        """Returns all strings of a column of strings, such as `vocab/key`."""
        return [str(text) for text in self.string_rows(column, slice(None))]

    def string_rows(self, column: str, rows: slice | list[int] | Array) -> list[str]:
        """Returns the strings in the given rows of a column of strings, such as `vocab/key`."""
        offsets, text = self[column], self[column + "_utf8"].tobytes()
        starts, ends = offsets[:-1][rows].tolist(), offsets[1:][rows].tolist()
        return [text[a:b].decode("utf-8", "replace") for a, b in zip(starts, ends, strict=True)]

    def vertices(self, first: int, last: int) -> npt.NDArray[np.float32]:
        """Returns the vertices in rows `first` to `last` (excluded) of the column `node/xy`: float32 [n, 2].

        The coordinates (x, y) are in tile units. One tile unit is the length of the tile's south edge.
        """
        return decode_xy(self["node/xy"][first:last])

    @property
    def _hint(self) -> Hint:
        return hints.run("tile" if self.path.name == "tiles.h5" else "process", region=self.name)

    def _check(self) -> None:
        for name, column in schema.COLUMNS.items():
            if self.kind in column.files and name not in self._columns:
                raise DataError(f"`{self.path}` has no column `{name}`", self._hint)
        self._check_lengths()
        self._check_rows(*(name for name in _ALWAYS_READ if name in self))

    def check_geometry(self) -> None:
        """Checks the columns of geometry. Only the first call checks them; later calls do nothing.

        Raises:
            DataError: offsets decrease or do not start at 0; a part of a geometry has an unknown type (other than
                point, line, outer ring and inner ring); or a visibility edge refers to a vertex that does not exist.
        """
        if self._geometry_checked:
            return
        self._check_rows(*(name for name in _GEOMETRY if name in self))
        if "edge/ends" in self and len(self["edge/ends"]):
            part_nodes = self["part/nodes"].astype(np.int64)[self["piece/parts"]]
            nodes = part_nodes[1:] - part_nodes[:-1]
            if bool((self["edge/ends"] >= nodes[csr.parents(self["piece/edges"])][:, None]).any()):
                raise self._damaged("edge/ends", "numbers of vertices that do not exist")
        self._geometry_checked = True

    def _check_rows(self, *names: str) -> None:
        """Checks columns whose values are used as indices or as row numbers of other tables.

        Raises:
            DataError: offsets decrease or do not start at 0, a row number is too large for the other table, or an
                enumeration value is unknown.
        """
        for name in names:
            values = self[name]
            if len(values) == 0:
                continue
            if name in _ENUMERATED:
                if int(values.max()) >= _ENUMERATED[name]:
                    raise self._damaged(name, "unknown values")
            elif name in _POINTED:
                if int(values.max()) >= len(self[_POINTED[name]]):
                    raise self._damaged(name, "numbers of rows that do not exist")
            elif int(values[0]) != 0 or not bool((values[1:] >= values[:-1]).all()):
                raise self._damaged(name, "offsets that do not start at 0 or that decrease")

    def _damaged(self, column: str, holds: str) -> DataError:
        return DataError(f"`{self.path}` is damaged: `{column}` holds {holds}", VERIFY)

    def _check_lengths(self) -> None:
        """Checks that all columns of a table have the same length, and that offsets match the lengths of the tables.

        Raises:
            DataError: two columns of a table differ in length, or the last offset of a column is not the number of rows
                of the table to which the offsets refer.
        """
        rows: dict[str, tuple[int, str]] = {}
        present = {name: column for name, column in schema.COLUMNS.items() if name in self._columns}
        for name, column in present.items():
            if name.endswith("_utf8"):
                continue
            n = len(self[name]) - (1 if column.csr else 0)
            table = name.partition("/")[0]
            if rows.setdefault(table, (n, name))[0] != n:
                known, other = rows[table]
                message = f"`{self.path}` is damaged: `{name}` has {n} rows, `{other}` has {known}"
                raise DataError(message, self._hint)
        for name, column in present.items():
            if not column.csr or len(self[name]) == 0:
                continue
            pointed = len(self[column.csr]) if "/" in column.csr else rows.get(column.csr, (0, ""))[0]
            if int(self[name][-1]) != pointed:
                got = f"the last offset in `{name}` is {int(self[name][-1])}"
                message = f"`{self.path}`: {got}, expected {pointed}, the number of rows of `{column.csr}`"
                raise DataError(message, self._hint)


def decode_xy(stored: Array) -> npt.NDArray[np.float32]:
    """Converts stored vertices to tile units, in which 1 is the length of the tile's south edge: float32 [n, 2].

    Vertices are stored as fixed-point numbers (uint16) or as float32.
    """
    if stored.dtype != np.uint16:
        return np.asarray(stored, np.float32)
    # Integers up to 65,535 are exact in float32. Only the division rounds, so the result is the nearest float32.
    values = stored.astype(np.float32)
    values -= np.float32(XY_SHIFT)
    values /= np.float32(XY_SCALE)
    return values


def box_corners(centre: Array, side: Array) -> npt.NDArray[np.float32]:
    """Returns the four corners of rotated bounding rectangles in tile units.

    Args:
        centre: centres (x, y) of the rectangles in tile units, float32 [n, 2].
        side: three values for each rectangle. The first two are half of one side, as a vector (x, y). The third is the
            ratio of the side lengths: length of the other side / length of the first side. float32 [n, 3]

    Returns:
        Corners (x, y) of each rectangle, counter-clockwise, float32 [n, 8]. The first corner is the lowest one; of two
        equally low corners, it is the left one.
    """
    # Computed column by column: NumPy is slow if the inner loop has only two elements.
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
