"""Principal components of unit vectors of several regions, for colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.search.space import SearchSpace
from geojepa_cli.store import csr
from geojepa_cli.store.columns import Array

Unit = NDArray[np.float32]
_ROWS_AT_ONCE = 16_384


def unit_rows_of(columns: Sequence[Array], space: SearchSpace, rows: Sequence[int] | NDArray[np.int64]) -> Unit:
    """Returns the unit vectors of some rows, which are numbered over all columns. float32 [rows, D]

    Args:
        columns: vectors of each region, float32 or float16 [n, D].
        space: space in which vectors are compared.
        rows: numbers of the rows.
    """
    wanted = np.asarray(rows, np.int64)
    starts = csr.offsets(np.array([len(column) for column in columns], np.int64))
    found = np.empty((len(wanted), columns[0].shape[1]), np.float32)
    home = np.searchsorted(starts, wanted, side="right") - 1
    for index in np.unique(home).tolist():
        mine = np.flatnonzero(home == index)
        found[mine] = space.project(columns[index][wanted[mine] - starts[index]])
    return found


def principal_directions(columns: Sequence[Array], space: SearchSpace, count: int = 3, sample: int = 20_000) -> Unit:
    """Returns the first principal components of unit vectors as columns: float32 [D, count].

    They are computed from evenly spaced rows. The largest value of each component is positive.

    Args:
        columns: vectors of each region, float32 or float16 [n, D].
        space: space in which vectors are compared.
        count: number of components. Components beyond the number of values are zeros.
        sample: maximum number of rows to use.
    """
    total = sum(map(len, columns))
    rows = np.unique(np.linspace(0, total - 1, min(sample, total)).astype(np.int64))
    vectors = unit_rows_of(columns, space, rows).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    found = np.zeros((vectors.shape[1], count), np.float32)
    kept = directions[:, ::-1][:, :count]
    signs = np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
    found[:, : kept.shape[1]] = kept * signs
    return found


def components_of(columns: Sequence[Array], space: SearchSpace, directions: Unit) -> NDArray[np.float32]:
    """Returns the components of all unit vectors, in chunks over memory-mapped files. float32 [N, count]"""
    parts = [
        space.project(column[begin : begin + _ROWS_AT_ONCE]) @ directions
        for column in columns
        for begin in range(0, len(column), _ROWS_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, directions.shape[1]), np.float32)
