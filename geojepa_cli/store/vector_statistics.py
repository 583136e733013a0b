"""Count, mean and scatter matrix of vectors, computed in one pass. Statistics of several sets of vectors combine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.store.columns import Array
from geojepa_cli.store.tile_parts import TileParts

# Number of rows that are converted to float64 at a time (50 MB at 768 values per row). It decides the order of sums,
# and so the rounding: when changing it, also increase the version of the stage `embeddings`.
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class VectorStatistics:
    """Statistics of a set of vectors with D values each.

    Vectors of zeros are not counted. Models return them for tiles without any input, for example without an image.

    Attributes:
        count: number of vectors.
        mean: mean of the vectors; zeros if `count` is 0. float64 [D]
        scatter: sum, over the vectors, of the outer product of a vector's deviation from the mean with itself. Divided
            by `count`, this is the covariance matrix. float64 [D, D]
        parts: name and width of each part of a vector, in order; empty if a vector has no known parts.
    """

    count: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]
    parts: TileParts = ()

    @property
    def width(self) -> int:
        """Number of values of a vector."""
        return len(self.mean)

    def __add__(self, other: VectorStatistics) -> VectorStatistics:
        """Returns the statistics of both sets of vectors together (Chan et al. 1983).

        The result equals the statistics of one pass over all vectors, up to rounding in float64.

        Raises:
            ValueError: the vectors have different numbers of values.
        """
        if self.width != other.width:
            raise ValueError(f"cannot combine statistics of vectors with {self.width} and {other.width} values")
        parts = self.parts if self.parts == other.parts else ()
        count = self.count + other.count
        if not self.count or not other.count:
            return replace(self if self.count else other, parts=parts)
        step = other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(step, step * (self.count * (other.count / count)))
        return VectorStatistics(count, self.mean + step * (other.count / count), scatter, parts)


def no_vectors(width: int) -> VectorStatistics:
    """Returns the statistics of an empty set of vectors with `width` values each."""
    return VectorStatistics(0, np.zeros(width), np.zeros((width, width)))


def add_rows(total: VectorStatistics, rows: Array) -> VectorStatistics:
    """Returns the statistics `total` with more vectors. The memory needed does not grow with the number of vectors.

    Args:
        total: statistics so far; `no_vectors(D)` at first.
        rows: finite vectors [n, D], of any float type.
    """
    for begin in range(0, len(rows) if total.width else 0, _ROWS_AT_ONCE):
        total = total + _of_rows(np.asarray(rows[begin : begin + _ROWS_AT_ONCE], np.float64))
    return total


def combine(statistics: Sequence[VectorStatistics]) -> VectorStatistics:
    """Returns the statistics of several sets of vectors together, such as those of several regions.

    Raises:
        ValueError: no statistics are given, or the vectors have different numbers of values.
    """
    if not statistics:
        raise ValueError("no statistics to combine")
    total = statistics[0]
    for one in statistics[1:]:
        total = total + one
    return total


def pack_scatter(scatter: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the upper triangle of a symmetric matrix [D, D], row by row: [D · (D + 1) / 2]."""
    return np.asarray(scatter[np.triu_indices(len(scatter))])


def unpack_scatter(packed: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Returns the symmetric matrix [D, D] that `pack_scatter` has packed."""
    scatter = np.zeros((width, width))
    rows, columns = np.triu_indices(width)
    scatter[rows, columns] = packed
    scatter[columns, rows] = packed
    return scatter


def _of_rows(rows: NDArray[np.float64]) -> VectorStatistics:
    rows = rows[rows.any(axis=1)]
    if not len(rows):
        return no_vectors(rows.shape[1])
    mean = rows.mean(axis=0)
    deviations = rows - mean
    # NumPy, not torch: its product of a matrix with itself has the same bytes for any number of threads
    return VectorStatistics(len(rows), mean, deviations.T @ deviations)
