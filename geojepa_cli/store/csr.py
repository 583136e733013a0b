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
    """Concatenates the integer ranges from first[i] to last[i] (excluded) for all i: int64."""
    counts = last - first
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    rows = np.repeat(first - ends + counts, counts)
    rows += np.arange(total)
    return rows


def spans(ends: Array, rows: Rows) -> tuple[Rows, Rows]:
    """Returns the index of the first child of each given row, and the end of its children (excluded): int64 [rows]."""
    return take_offsets(ends, rows), take_offsets(ends, rows + 1)


def children(ends: Array, rows: Rows) -> Rows:
    """Returns the indices of the children of the given rows, from CSR offsets `ends`: int64."""
    return ranges(*spans(ends, rows))


def parents(ends: Array) -> Rows:
    """Returns the parent row of every child, from CSR offsets `ends`: int64."""
    signed = ends.astype(np.int64)
    return np.repeat(np.arange(len(ends) - 1), signed[1:] - signed[:-1])


def take_offsets(ends: Array, rows: Rows) -> Rows:
    """Returns the given rows of a column of offsets, converted to int64."""
    # Offsets are stored as unsigned integers. Below 2^63, signed and unsigned integers have the same bits.
    return (ends.view(np.int64) if ends.dtype == np.uint64 else ends).take(rows).astype(np.int64, copy=False)
