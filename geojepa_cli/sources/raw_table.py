"""`RawTable`: a table that was read from a user's CSV, GeoJSON or Parquet file. Its values are not yet converted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.errors import DataError, UsageError, nearest
from geojepa_cli.hints import Hint

TILE = "tile"
LON, LAT = ("lon", "lng", "long", "longitude"), ("lat", "latitude")
X, Y = ("x", "easting"), ("y", "northing")
# cells without a value, in lower case
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
CORRECTED = "after the file is corrected"

Geometries = NDArray[Any]  # shapely geometries, or None


@dataclass(frozen=True)
class RawTable:
    """A table that was read from a user's file. Its values are not yet converted.

    Attributes:
        path: path of the file.
        names: names of the columns, without the geometry.
        row_names: name of every row for messages, such as `line 3` or `feature 2`.
        column: function that takes the name of a column and returns the column's values.
        geometry: geometry of every row; None if the file has no geometries.
        crs: CRS that the file states, as a text for pyproj; None if the file states no CRS.
    """

    path: Path
    names: list[str]
    row_names: Sequence[str]
    column: Callable[[str], list[Any]]
    geometry: Geometries | None = None
    crs: str | None = None

    def find(self, names: Sequence[str]) -> str | None:
        """Returns the name of the first column that has one of these names, ignoring case; None if there is none."""
        return next((name for name in self.names if name.strip().lower() in names), None)

    def require(self, name: str, option: str = "--label") -> str:
        """Checks that there is exactly one column with this name, and returns the name.

        Args:
            name: name of the column.
            option: option in which the user gave the name, for the hint.

        Raises:
            UsageError: no column or several columns have this name. The message suggests the most similar name.
        """
        if self.names.count(name) > 1:
            message = f"`{self.path}` has {self.names.count(name)} columns `{name}`: expected one"
            raise UsageError(message, hints.again().noting(CORRECTED))
        if name in self.names:
            return name
        close = nearest(name, self.names) or next((one for one in self.names if one.lower() == name.lower()), None)
        known = ", ".join(f"`{one}`" for one in self.names[:8]) + (" …" if len(self.names) > 8 else "")
        guess = f"did you mean `{close}`?" if close else f"it has {known or 'no column'}"
        other = close or next(iter(self.names), None)
        hint = hints.instead((option, name), (option, other)) if other else hints.again().noting(CORRECTED)
        raise UsageError(f"`{self.path}` has no column `{name}`; {guess}", hint)

    def numbers(self, name: str, required: bool = False) -> NDArray[np.float64]:
        """Returns the values of a column as numbers, float64. A missing value is NaN.

        Args:
            name: name of the column.
            required: True to raise an error for missing values.

        Raises:
            DataError: a value is not a finite number. The message names the row.
        """
        found = np.full(len(self.row_names), np.nan)
        for row, value in enumerate(self.column(name)):
            number = _number(value)
            if number is None or np.isinf(number) or (required and np.isnan(number)):
                raise self.wrong(row, f"`{name}` is `{_shown(value)}`: expected a number")
            found[row] = number
        return found

    def wrong(self, row: int, what: str, hint: Hint | None = None) -> DataError:
        """Returns the error for an invalid value. The message names the file and the row."""
        return DataError(f"`{self.path}`, {self.row_names[row]}: {what}", hint or hints.again().noting(CORRECTED))


def empty_table(path: Path) -> DataError:
    """Returns the error for a file without rows."""
    return DataError(f"`{path}` is empty: expected a table with at least one row", hints.again().noting(CORRECTED))


def unreadable(path: Path, form: str, reason: object) -> DataError:
    """Returns the error for a file that is damaged or does not have the expected format.

    Args:
        path: path of the file.
        form: name of the expected format, such as `GeoJSON`.
        reason: error of the library that reads the format.
    """
    lines = str(reason).strip().splitlines() or ["damaged"]
    return DataError(f"`{path}` cannot be read as {form}: {lines[0][:200]}", hints.again().noting(CORRECTED))


def _number(value: Any) -> float | None:
    """Converts a table cell to a number. Returns NaN if the value is missing, and None if it is not a number."""
    if value is None:
        return np.nan
    text = str(value).strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.lower() in MISSING:
        return np.nan
    if isinstance(text, str) and "_" in text:  # Python reads `1_000` as a number
        return None
    try:
        return float(text)
    except (TypeError, ValueError, OverflowError):
        return None


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"
