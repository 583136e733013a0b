"""Similarity of all vectors of several regions to a query, computed in chunks over memory-mapped files."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.search.norms import inverse_norms
from geojepa_cli.search.space import SearchSpace
from geojepa_cli.store import csr
from geojepa_cli.store.columns import Array

Unit = NDArray[np.float32]
Scores = NDArray[np.float32]
_ROWS_AT_ONCE = 16_384


class VectorScores:
    """Scores of all rows of several columns of vectors: dot products of unit vectors in a search space.

    The vectors are not copied. With y = (x − μ) · M, as defined in `SearchSpace`, the score of a vector x and a unit
    vector q is (x · (M q) − μ · (M q)) / |y|. Only |y| is stored for each vector, so the memory in use does not depend
    on the number of columns. The scores of the best rows can be computed again with `unit_rows`, without this rounding.

    Args:
        columns: vectors of each region, float32 or float16 [n, D].
        space: space in which vectors are compared.
    """

    def __init__(self, columns: Sequence[Array], space: SearchSpace) -> None:
        self._columns, self.space = list(columns), space
        self._starts = csr.offsets(np.array([len(column) for column in columns], np.int64))
        self._known_norms: list[Scores] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def width(self) -> int:
        """Number of values of a vector."""
        return int(self._columns[0].shape[1])

    def unit_rows(self, rows: Sequence[int] | NDArray[np.int64]) -> Unit:
        """Returns the unit vectors of the given rows, numbered over all columns: float32 [rows, D]."""
        wanted = np.asarray(rows, np.int64)
        found = np.empty((len(wanted), self.width), np.float32)
        home = np.searchsorted(self._starts, wanted, side="right") - 1
        for index in np.unique(home).tolist():
            mine = np.flatnonzero(home == index)
            found[mine] = self.space.project(self._columns[index][wanted[mine] - self._starts[index]])
        return found

    def scores(self, queries: Unit) -> Scores:
        """Returns the score of every row for one or several queries.

        Args:
            queries: unit vectors of the search space, float32 [D] or [D, Q].

        Returns:
            float32 [N] or [N, Q]. The score of a row without direction, such as a vector of zeros, is 0.
        """
        query = np.asarray(queries, np.float64)
        query = self.space.pull(query.T).T
        shift = self.space.mean @ query if self.space.mean is not None else 0.0
        folded = torch.from_numpy(np.ascontiguousarray(query, np.float32))
        found = np.empty((len(self), *query.shape[1:]), np.float32)
        row = 0
        for column, norms in zip(self._columns, self._inverse_norms(), strict=True):
            for begin in range(0, len(column), _ROWS_AT_ONCE):
                block = _tensor(column[begin : begin + _ROWS_AT_ONCE]).float()
                part = (block @ folded).numpy() - np.float32(shift)
                inverse = norms[begin : begin + len(block)].reshape(-1, *[1] * (query.ndim - 1))
                found[row : row + len(block)] = part * inverse
                row += len(block)
        return found.clip(-1.0, 1.0)

    def _inverse_norms(self) -> list[Scores]:
        with self._lock:
            if not self._known_norms:
                self._known_norms = [inverse_norms(column, self.space)[0].numpy() for column in self._columns]
            return self._known_norms


def best_rows(scores: Scores, k: int, same: NDArray[np.int64], left_out: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Returns the k rows with the highest scores, best first. Of rows with equal `same`, only the best is returned.

    Args:
        scores: score of each row, float32 [N].
        k: maximum number of rows.
        same: number that is equal for rows that show the same place, int64 [N].
        left_out: True for rows that are never returned, bool [N].
    """
    allowed = np.flatnonzero(~left_out & np.isfinite(scores))
    wanted = 2 * k + 16
    while True:
        rows = allowed
        if wanted < len(allowed):
            # all rows with the score of the last one are kept, so that equal scores are ordered by row number
            floor = np.partition(scores[allowed], len(allowed) - wanted)[len(allowed) - wanted]
            rows = allowed[scores[allowed] >= floor]
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        _, first = np.unique(same[rows], return_index=True)
        if len(first) >= k or wanted >= len(allowed):
            return np.asarray(rows[np.sort(first)][:k])
        wanted *= 4


def mean_direction(vectors: Unit) -> Unit:
    """Returns the mean of vectors [N, D] as a unit vector [D]. Zeros if the mean has no direction."""
    mean = vectors.astype(np.float64).mean(axis=0)
    norm = float(np.linalg.norm(mean))
    return np.asarray(mean / norm if norm > 1e-12 else np.zeros_like(mean), np.float32)


def rocchio(good: Unit, bad: Unit, weight: float) -> Unit:
    """Returns the query vector for good and bad examples: the mean of good ones minus the weighted mean of bad ones.

    This is the feedback formula of Rocchio (1971) with the original query among the good examples. The result is scaled
    to length 1; it is zeros if the difference has no direction.

    Args:
        good: unit vectors of good examples, float32 [G, D] with G ≥ 1.
        bad: unit vectors of bad examples, float32 [B, D]. B may be 0.
        weight: weight of the bad examples.
    """
    wanted = good.astype(np.float64).mean(axis=0)
    if len(bad):
        wanted = wanted - weight * bad.astype(np.float64).mean(axis=0)
    return mean_direction(wanted[None].astype(np.float32))


def principal_directions(scores: VectorScores, count: int = 3, sample: int = 20_000) -> Unit:
    """Returns the first principal components of unit vectors as columns: float32 [D, count].

    They are computed from evenly spaced rows. The largest value of each component is positive.

    Args:
        scores: vectors, with their search space.
        count: number of components. Components beyond the number of values are zeros.
        sample: maximum number of rows to use.
    """
    rows = np.unique(np.linspace(0, len(scores) - 1, min(sample, len(scores))).astype(np.int64))
    vectors = scores.unit_rows(rows).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    found = np.zeros((scores.width, count), np.float32)
    kept = directions[:, ::-1][:, :count]
    signs = np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
    found[:, : kept.shape[1]] = kept * signs
    return found


def _tensor(column: Array) -> torch.Tensor:
    with warnings.catch_warnings():  # torch warns that the memory-mapped file is read-only; the tensor is never written
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(column)
