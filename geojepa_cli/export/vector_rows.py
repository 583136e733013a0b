"""Vectors to export, read by row number: those of several regions as one list, and weighted means of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.store import csr
from geojepa_cli.store.csr import Array, Rows

Floats = NDArray[np.float32]
_VALUES_AT_ONCE = 8_000_000  # values in one block of vectors (32 MB)


class VectorRows(Protocol):
    """A list of vectors of the same width, too long to be in memory at once.

    Attributes:
        count: number of vectors.
        width: number of values of a vector.
    """

    count: int
    width: int

    def read(self, rows: Rows) -> Floats:
        """Returns the vectors in the given rows, float32 [m, width]."""


class Stack:
    """Row numbers of several tables that are read as one, in the order of the tables.

    Args:
        lengths: number of rows of each table.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self.offsets = csr.offsets(np.array(lengths, np.int64))
        self.count = int(self.offsets[-1])

    def split(self, rows: Rows) -> Iterator[tuple[int, Rows, Rows]]:
        """Yields for each table with one of the given rows: its index, the rows in it, and their places in `rows`."""
        table = np.searchsorted(self.offsets, rows, side="right") - 1
        for index in np.unique(table).tolist():
            places = np.flatnonzero(table == index)
            yield index, rows[places] - self.offsets[index], places


class StackedVectors:
    """The vectors of several regions: memory-mapped columns of the same width, one after the other."""

    def __init__(self, columns: Sequence[Array]) -> None:
        self._columns, self._stack = columns, Stack([len(column) for column in columns])
        self.count, self.width = self._stack.count, int(columns[0].shape[1])

    def read(self, rows: Rows) -> Floats:
        """Returns the vectors in the given rows, float32 [m, width]."""
        found = np.empty((len(rows), self.width), np.float32)
        for index, inner, places in self._stack.split(rows):
            found[places] = self._columns[index][inner]
        return found


class PooledVectors:
    """Weighted means of vectors: Σ w · v / Σ w over the members of each row.

    Vectors of zeros are not counted, as in search spaces: models return them for tiles without any input. The mean is
    zeros if all members are.

    Args:
        of: the vectors of the members.
        offsets: CSR offsets of the members of each row, int64 [n + 1].
        members: rows of `of`, int64 [k].
        weights: weight of each member, above 0, float64 [k].
    """

    def __init__(self, of: VectorRows, offsets: Rows, members: Rows, weights: NDArray[np.float64]) -> None:
        self._of, self._offsets, self._members, self._weights = of, offsets, members, weights
        self.count, self.width = len(offsets) - 1, of.width

    def read(self, rows: Rows) -> Floats:
        """Returns the means of the given rows, float32 [m, width]. Sums are computed in float64."""
        found = np.empty((len(rows), self.width), np.float32)
        step = block_rows(self.width)
        for place, row in enumerate(rows.tolist()):
            first, last = csr.span(self._offsets, row)
            total, weight = np.zeros(self.width), 0.0
            for begin in range(first, last, step):
                part = slice(begin, min(begin + step, last))
                vectors = self._of.read(self._members[part]).astype(np.float64)
                total += (vectors * self._weights[part, None]).sum(axis=0)
                weight += float(self._weights[part][vectors.any(axis=1)].sum())
            found[place] = total / weight if weight else 0.0
        return found


def block_rows(width: int) -> int:
    """Returns the number of vectors of a given width that are in memory at a time."""
    return max(256, _VALUES_AT_ONCE // max(1, width))


def blocks(vectors: VectorRows) -> Iterator[tuple[Rows, Floats]]:
    """Yields all vectors in blocks of consecutive rows: row numbers [m], and vectors float32 [m, width]."""
    step = block_rows(vectors.width)
    for first in range(0, vectors.count, step):
        rows = np.arange(first, min(first + step, vectors.count))
        yield rows, vectors.read(rows)
