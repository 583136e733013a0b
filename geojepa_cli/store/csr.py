"""Functions for lists of different lengths that are stored in one column (compressed sparse row, CSR, format).

Each row of a parent table, such as a tile, has a list of rows of a child table. The child table stores these lists one
after the other. An offsets column has n + 1 values for n parent rows: the children of row i are the child rows from
`offsets[i]` to `offsets[i + 1]` (excluded).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]


def offsets(counts: Array) -> Rows:
    """Returns the CSR offsets of n rows: the cumulative sum of their child counts, with a leading 0: int64 [n + 1]."""
    ends = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=ends[1:])
    return ends


def ranges(first: Rows, last: Rows) -> Rows:
    """Returns all integers from first[0] to last[0] (excluded), then from first[1] to last[1], and so on: int64."""
    counts = last - first
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    rows = np.repeat(first - ends + counts, counts)
    rows += np.arange(total)
    return rows


def span(ends: Array, row: int) -> tuple[int, int]:
    """Returns the child rows of one parent row: first child row, and last child row + 1. `ends`: CSR offsets."""
    return int(ends[row]), int(ends[row + 1])


def spans(ends: Array, rows: Rows) -> tuple[Rows, Rows]:
    """Returns the child rows of each given parent row, as two arrays: first child row, and last child row + 1.

    Args:
        ends: CSR offsets of all parent rows.
        rows: parent rows, int64 [n].

    Returns:
        Two arrays int64 [n].
    """
    return take_offsets(ends, rows), take_offsets(ends, rows + 1)


def children(ends: Array, rows: Rows) -> Rows:
    """Returns the child rows of the given parent rows, one after the other: int64. `ends` are CSR offsets."""
    return ranges(*spans(ends, rows))


def parents(ends: Array) -> Rows:
    """Returns the parent row of every child row: int64. `ends` are the CSR offsets of all parent rows."""
    signed = ends.astype(np.int64)
    return np.repeat(np.arange(len(ends) - 1), signed[1:] - signed[:-1])


def take_offsets(ends: Array, rows: Rows) -> Rows:
    """Returns the values of an offsets column in the given rows, converted to int64."""
    # Offsets are stored as unsigned integers. Below 2^63, signed and unsigned integers have the same bits.
    return (ends.view(np.int64) if ends.dtype == np.uint64 else ends).take(rows).astype(np.int64, copy=False)
