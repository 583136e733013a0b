"""Reads a user's embedding vectors from a Parquet file with one vector per tile, point or polygon."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.sources.places import Places, find_places
from geojepa_cli.sources.raw_table import CORRECTED, RawTable
from geojepa_cli.sources.table_files import PARQUET, parquet_file, read_table

NAMES = ("embedding", "embeddings", "emb", "vector", "vectors", "feature", "features")
NUMBERED = re.compile(r"(.*?)_?(\d+)")
MAX_DIMENSION = 65_536


@dataclass(frozen=True)
class VectorTable:
    """Embedding vectors from a user's file, and the location of each vector on the map.

    Attributes:
        path: path of the file.
        vectors: vector of each row that has a location, float32 [m, d].
        places: locations of these rows: tiles, points or polygons.
    """

    path: Path
    vectors: NDArray[np.float32]
    places: Places


def read_vectors(path: Path) -> VectorTable:
    """Reads embedding vectors and their locations from a Parquet file.

    The vectors are in a column of lists, named for example `embedding` or `vector`. Another name is accepted if there
    is only one column of lists. The vectors can also be in numbered columns, such as `emb_0`, `emb_1`, ….

    The locations are read from the column `tile`. If there is no such column, they are read from the geometries
    (GeoParquet). If there are no geometries, they are read from the columns `lon` and `lat`.

    Raises:
        NotFoundError: there is no such file.
        UsageError: the file has no locations.
        DataError: the file is damaged or has no vectors, or a vector has a wrong length or a value that is not finite.
    """
    if not path.is_file():
        raise NotFoundError(f"`{path}` is not a file", hints.again(embeddings="FILE.parquet"))
    if path.suffix.lower() not in PARQUET:
        raise DataError(f"`{path}`: expected a Parquet file (.parquet)", hints.again(embeddings="FILE.parquet"))
    opened, _ = parquet_file(path)
    table = read_table(path)
    vectors = _read(opened, table)
    for row in np.flatnonzero(~np.isfinite(vectors).all(1))[:1].tolist():
        raise table.wrong(row, "the vector has a value that is missing or not finite")
    places = find_places(table)
    return VectorTable(path, vectors[places.rows], places)


def _read(opened: Any, table: RawTable) -> NDArray[np.float32]:
    import pyarrow

    lists = [one.name for one in opened.schema_arrow if one.name in table.names and _is_list(one.type)]
    named = [name for name in lists if name.lower() in NAMES]
    chosen = named if named else lists
    if len(chosen) == 1:
        try:
            return _from_lists(opened.read(chosen).column(0).combine_chunks(), table, chosen[0])
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"`{table.path}`: column `{chosen[0]}` is damaged: {error}", _corrected()) from error
    if chosen:
        names = ", ".join(f"`{name}`" for name in chosen)
        message = f"`{table.path}` has several columns of lists ({names}): expected one column with vectors"
        raise DataError(message, _corrected())
    columns = _numbered(opened.schema_arrow, table)
    return np.column_stack([_as_float32(opened.read([name]).column(0).to_numpy()) for name in columns])


def _from_lists(column: Any, table: RawTable, name: str) -> NDArray[np.float32]:
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(np.isnan(lengths.astype(np.float64)))[:1].tolist():
        raise table.wrong(row, f"column `{name}` has no vector")
    for row in np.flatnonzero(lengths != lengths[0])[:1].tolist():
        raise table.wrong(row, f"the vector has {int(lengths[row])} values, expected {int(lengths[0])} as in row 1")
    width = int(lengths[0])
    if not 0 < width <= MAX_DIMENSION:
        raise table.wrong(0, f"the vector has {width:,} values: expected 1 to {MAX_DIMENSION:,}")
    return _as_float32(column.flatten().to_numpy(zero_copy_only=False)).reshape(len(lengths), width)


def _as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Converts numbers to float32. Numbers that are too large become infinite, which `read_vectors` refuses."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _numbered(schema: Any, table: RawTable) -> list[str]:
    """Returns the names of the numbered columns that form the vectors, such as `emb_0`, `emb_1`, …, sorted by number.

    Raises:
        DataError: there are no such columns, their first number is neither 0 nor 1, or a number is missing.
    """
    found: dict[str, dict[int, str]] = {}
    for one in schema:
        match = NUMBERED.fullmatch(one.name)
        if match and one.name in table.names and _is_number(one.type):
            found.setdefault(match[1], {})[int(match[2])] = one.name
    several = {prefix: columns for prefix, columns in found.items() if len(columns) > 1}
    named = {prefix: columns for prefix, columns in several.items() if prefix.lower() in NAMES}
    chosen = list((named or several).values())
    if len(chosen) != 1:
        expected = "a column of lists named `embedding` or `vector`, or columns `emb_0`, `emb_1`, …"
        raise DataError(f"`{table.path}` has no vectors: expected {expected}", _corrected())
    numbers = sorted(chosen[0])
    if numbers[0] > 1 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        missing = min(set(range(min(numbers[0], 1), numbers[-1])) - set(numbers))
        raise DataError(f"`{table.path}` lacks the vector column with number {missing}", _corrected())
    return [chosen[0][number] for number in numbers]


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return lists and _is_number(kind.value_type)


def _is_number(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_floating(kind) or types.is_integer(kind))


def _corrected() -> hints.Hint:
    return hints.again().noting(CORRECTED)
