"""Safe reading of columns (datasets) from untrusted HDF5 files.

`map_columns` maps uncompressed columns into memory. `read_columns` reads small compressed columns. These functions look
up a column by name and follow hard links only. Before they read a value, they compare the column's data type, number of
axes and lengths with the caller's `ColumnSpec` and with the size of the file. They ignore everything else in the file.
So a malicious file cannot make them read other files (external links, external storage, virtual datasets), follow
pointers (variable-length strings, references), load filter plugins, or read past the end of the file.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint

Array = npt.NDArray[Any]
Attributes = dict[str, int | str | tuple[int, ...]]
VERIFY = hints.run("artifacts", verify=True)
"""Command that compares checksums, finds damaged files, and prints the commands that make these files again."""

LONGEST_AXIS = 1 << 40  # rows; keeps the size of an empty column within NumPy's limits
LONGEST_TEXT = 1 << 24  # maximum bytes of a text attribute
LONGEST_TUPLE = 64  # maximum count of numbers in an attribute
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE}
_UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError)


class ColumnSpec(NamedTuple):
    """Required type and shape of a column in an HDF5 file.

    Attributes:
        dtypes: accepted NumPy types of fixed size, such as `<f4`.
        shape: required length of each axis. None stands for any length.
        optional: True if the column may be missing.
    """

    dtypes: tuple[str, ...]
    shape: tuple[int | None, ...] = (None,)
    optional: bool = False


class Expected(NamedTuple):
    """Required schema, columns and attributes of an HDF5 file.

    Attributes:
        schema: required value of the attribute `schema_version`.
        columns: required type and shape of each column, by the column's name `table/name`.
        attributes: type of each attribute to read: int, str, or tuple for several ints. An attribute may be missing.
    """

    schema: int
    columns: Mapping[str, ColumnSpec]
    attributes: Mapping[str, type] = {}


def map_columns(path: Path, expected: Expected, hint: Hint | None) -> tuple[dict[str, Array], Attributes]:
    """Maps the expected columns of an HDF5 file into memory.

    Args:
        path: path of the file.
        expected: columns, attributes and schema that the file must have. Other columns are ignored.
        hint: command that makes the file again, for error messages.

    Returns:
        The expected columns by name, as read-only arrays over the mapped file, and the expected attributes by name.

    Raises:
        DataError: the file is missing, truncated, not HDF5 or has another schema; or a column is missing, has another
            type or shape, or is not stored contiguously in this file.
    """
    places: dict[str, tuple[tuple[int, ...], np.dtype[Any], Any]] = {}
    try:
        with h5py.File(path, "r") as file, path.open("rb") as handle:
            attributes = _read_attributes(file, path, expected, hint)
            for name, spec in expected.columns.items():
                column = _find(file, path, name, spec, hint)
                if column is not None:
                    dtype = _check_type(column, path, name, spec, hint)
                    places[name] = (_check_shape(column, path, name, spec, hint), dtype, column.get_offset())
            mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise DataError(f"`{path}` does not exist", hint) from error
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    columns: dict[str, Array] = {}
    for name, (shape, dtype, offset) in places.items():
        size = math.prod(shape) * dtype.itemsize
        if size and offset is None:
            raise DataError(f"column `{name}` of `{path}` is not stored contiguously in the file", hint)
        if max(shape) > LONGEST_AXIS or (size and offset + size > len(mapped)):
            raise DataError(f"`{path}` is truncated: column `{name}` extends past the end of the file", hint)
        columns[name] = np.ndarray(shape, dtype, mapped, offset) if size else np.empty(shape, dtype)
        columns[name].flags.writeable = False
    return columns, attributes


def read_columns(path: Path, expected: Expected, hint: Hint | None) -> tuple[dict[str, Array], Attributes]:
    """Reads the expected columns of a small HDF5 file into memory. The columns may be compressed.

    Memory is allocated for the expected shapes only, so a malicious file cannot exhaust the memory.

    Args:
        path: path of the file.
        expected: columns, attributes and schema that the file must have. Each column must have a `ColumnSpec` that
            gives the length of every axis. Other columns are ignored.
        hint: command that makes the file again, for error messages.

    Returns:
        The expected columns by name, as arrays in memory, and the expected attributes by name.

    Raises:
        DataError: the file is missing, damaged, not HDF5 or has another schema; or a column is missing, has another
            type or shape, or cannot be read safely.
    """
    columns: dict[str, Array] = {}
    try:
        with h5py.File(path, "r") as file:
            attributes = _read_attributes(file, path, expected, hint)
            for name, spec in expected.columns.items():
                if None in spec.shape:
                    raise AssertionError(f"`{name}` may be of any length")
                column = _find(file, path, name, spec, hint)
                if column is not None:
                    dtype = _check_type(column, path, name, spec, hint)
                    shape = _check_shape(column, path, name, spec, hint)
                    _check_storage(column, path, name, shape, hint)
                    columns[name] = np.empty(shape, dtype)
                    if columns[name].size:
                        column.read(h5py.h5s.ALL, h5py.h5s.ALL, columns[name])
    except FileNotFoundError as error:
        raise DataError(f"`{path}` does not exist", hint) from error
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    return columns, attributes


def write_text(file: h5py.File, name: str, value: str) -> None:
    """Writes a text attribute to an HDF5 file, in UTF-8.

    The text gets a fixed length, because strings of variable length need a heap of 4 KB in the file, and HDF5 may loop
    for ever when it reads them from a damaged file.
    """
    encoded = value.encode()
    file.attrs.create(name, encoded, dtype=h5py.string_dtype("utf-8", max(len(encoded), 1)))


def write_packed(file: h5py.File, name: str, values: Array) -> None:
    """Writes a column to an HDF5 file as one compressed chunk, which `read_columns` can read."""
    options: dict[str, Any] = {"compression": "gzip", "compression_opts": 9, "chunks": values.shape}
    file.create_dataset(name, data=values, **({**options, "shuffle": values.itemsize > 1} if values.size else {}))


def _unreadable(path: Path, error: BaseException) -> DataError:
    return DataError(f"`{path}` cannot be read: {str(error) or type(error).__name__}", VERIFY)


def _find(file: h5py.File, path: Path, name: str, spec: ColumnSpec, hint: Hint | None) -> Any:
    """Returns the HDF5 dataset (h5py's low-level object) of a column; None if an optional column is missing."""
    place = file.id
    for part in name.encode().split(b"/"):
        if not isinstance(place, h5py.h5g.GroupID) or part not in place:
            if spec.optional:
                return None
            raise DataError(f"`{path}` has no column `{name}`", hint)
        if place.links.get_info(part).type != h5py.h5l.TYPE_HARD:
            raise DataError(f"column `{name}` of `{path}` is a link, expected data in the file", hint)
        place = h5py.h5o.open(place, part)
    if not isinstance(place, h5py.h5d.DatasetID):
        raise DataError(f"`{name}` of `{path}` is an HDF5 group, expected a column", hint)
    return place


def _check_type(column: Any, path: Path, name: str, spec: ColumnSpec, hint: Hint | None) -> np.dtype[Any]:
    stored = column.get_type()
    for dtype in map(np.dtype, spec.dtypes):
        if stored.equal(h5py.h5t.py_create(dtype)):
            return dtype
    wanted = " or ".join(np.dtype(dtype).name for dtype in spec.dtypes)
    raise DataError(f"column `{name}` of `{path}` is of type {_describe_type(stored)}, expected {wanted}", hint)


def _describe_type(stored: Any) -> str:
    """Returns the name of an HDF5 data type for messages. Works for types that NumPy does not have, too."""
    kinds = {
        h5py.h5t.INTEGER: "integer",
        h5py.h5t.FLOAT: "float",
        h5py.h5t.STRING: "string",
        h5py.h5t.BITFIELD: "bit field",
        h5py.h5t.OPAQUE: "opaque",
        h5py.h5t.COMPOUND: "compound",
        h5py.h5t.REFERENCE: "reference",
        h5py.h5t.ENUM: "enumeration",
        h5py.h5t.VLEN: "variable-length",
        h5py.h5t.ARRAY: "array",
    }
    kind = kinds.get(stored.get_class(), "unknown")
    return np.dtype(stored.dtype).str if kind in ("integer", "float") else kind


def _check_shape(column: Any, path: Path, name: str, spec: ColumnSpec, hint: Hint | None) -> tuple[int, ...]:
    shape = column.shape
    if (
        shape is None
        or len(shape) != len(spec.shape)
        or any(wanted not in (None, n) for n, wanted in zip(shape, spec.shape, strict=True))
    ):
        got = "empty" if shape is None else _lengths(shape)
        raise DataError(f"column `{name}` of `{path}` is {got}, expected {_lengths(spec.shape)}", hint)
    return tuple(shape)


def _lengths(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("n" if n is None else str(n) for n in shape) + "]"


def _check_storage(column: Any, path: Path, name: str, shape: tuple[int, ...], hint: Hint | None) -> None:
    """Checks that a compressed column can be read safely.

    Raises:
        DataError: the data is stored in another file, uses a filter other than gzip and shuffle, or has chunks that are
            larger than the column.
    """
    created = column.get_create_plist()
    layout = created.get_layout()
    outside = layout == h5py.h5d.VIRTUAL or created.get_external_count() > 0
    filters = {created.get_filter(i)[0] for i in range(created.get_nfilters())}
    large = layout == h5py.h5d.CHUNKED and math.prod(created.get_chunk()) > max(math.prod(shape), 1)
    if outside or not filters <= _FILTERS or large:
        how = "in another file" if outside else "in too large chunks" if large else "with a filter other than gzip"
        raise DataError(f"column `{name}` of `{path}` cannot be read safely: it is stored {how}", hint)


def _read_attributes(file: h5py.File, path: Path, expected: Expected, hint: Hint | None) -> Attributes:
    attributes: Attributes = {}
    for name, kind in {"schema_version": int, **expected.attributes}.items():
        if h5py.h5a.exists(file.id, name.encode()):
            _check_attribute(h5py.h5a.open(file.id, name.encode()), path, name, kind, hint)
            attributes[name] = _plain(file.attrs[name])
    found = attributes.get("schema_version")
    if found != expected.schema:
        raise DataError(f"`{path}` has schema {found}, this version reads {expected.schema}", hint)
    return attributes


def _check_attribute(attribute: Any, path: Path, name: str, kind: type, hint: Hint | None) -> None:
    stored, shape = attribute.get_type(), attribute.shape
    sound = shape is not None and (len(shape) == 1 and shape[0] <= LONGEST_TUPLE if kind is tuple else shape == ())
    if kind is str:
        # HDF5 may loop for ever when it reads a string of variable length from a damaged file.
        fixed = stored.get_class() == h5py.h5t.STRING and not stored.is_variable_str()
        sound &= fixed and stored.get_size() <= LONGEST_TEXT
    else:
        sound &= stored.get_class() == h5py.h5t.INTEGER and stored.get_size() <= 8
    if not sound:
        wanted = {int: "a whole number", str: "a text of fixed length", tuple: "whole numbers"}[kind]
        raise DataError(f"attribute `{name}` of `{path}` is not {wanted}", hint)


def _plain(value: Any) -> int | str | tuple[int, ...]:
    if isinstance(value, bytes | str):
        # h5py keeps bytes that are not UTF-8 as surrogates, which no terminal prints
        return (value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")).decode(
            errors="replace"
        )
    return tuple(int(n) for n in value) if isinstance(value, np.ndarray) else int(value)
