"""Offsets columns in compressed sparse row (CSR) format.

The children of all parent rows are stored one parent after the other. Row i has the children
`offsets[i] .. offsets[i + 1]`, the last one excluded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]


def offsets(counts: Array) -> Rows:
    """Returns the CSR offsets of n rows from their child counts: int64 [n + 1]."""
    ends = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=ends[1:])
    return ends


def ranges(first: Rows, last: Rows) -> Rows:
    """Returns the integers of the ranges first[0]..last[0], first[1]..last[1], …, ends excluded: int64."""
    counts = last - first
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    rows = np.repeat(first - ends + counts, counts)
    rows += np.arange(total)
    return rows


def spans(ends: Array, rows: Rows) -> tuple[Rows, Rows]:
    """Returns the first child of each given row of an offsets column, and the end (excluded): int64 [rows] each."""
    return take_offsets(ends, rows), take_offsets(ends, rows + 1)


def children(ends: Array, rows: Rows) -> Rows:
    """Returns the children of the given rows of an offsets column, one row after the other: int64."""
    return ranges(*spans(ends, rows))


def parents(ends: Array) -> Rows:
    """Returns the parent row of each child of an offsets column: int64."""
    signed = ends.astype(np.int64)
    return np.repeat(np.arange(len(ends) - 1), signed[1:] - signed[:-1])


def take_offsets(ends: Array, rows: Rows) -> Rows:
    """Returns the values of the given rows of an offsets column: int64."""
    # Offsets are stored as unsigned integers. Below 2^63, signed and unsigned integers have the same bits.
    return (ends.view(np.int64) if ends.dtype == np.uint64 else ends).take(rows).astype(np.int64, copy=False)
