"""Search by a weighted sum of the cosine to a query vector and of given scores, such as those of a text."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.search.engine import DECIMALS, Found
from geojepa_cli.store.columns import Array

Scores = NDArray[np.float64]
_ROUNDING = 1e-9  # of sums in float64


class Index(Protocol):
    """Interface of an index of vectors: `engine.VectorIndex`, whose methods are described there, or `SummedIndex`."""

    def __len__(self) -> int: ...
    def search(self, queries: Array, k: int, excluded: NDArray[np.bool_] | None = None) -> Found: ...
    def scores(self, query: Array) -> NDArray[np.float32]: ...
    def exact_scores(self, query: Array, rows: NDArray[np.int64]) -> Scores: ...
    def score_error(self, query: Array) -> float: ...
    def above(
        self, query: Array, thresholds: Scores, excluded: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], Scores]: ...


class SummedIndex:
    """Index whose score of a vector is `share` · cosine + the given score of the vector.

    Args:
        index: index of the vectors. None if `share` is 0.
        share: weight of the cosine.
        added: score to add for each vector, already weighted. float64 [n]
    """

    def __init__(self, index: Index | None, share: float, added: Scores) -> None:
        if index is not None and len(index) != len(added):
            raise ValueError(f"{len(added)} scores for {len(index)} vectors")
        self._index, self._share, self._added = index, share, added

    def __len__(self) -> int:
        return len(self._added)

    def scores(self, query: Array) -> NDArray[np.float32]:
        """Returns the score of every vector for one query [D], with errors of about 1e-5. float32 [n]"""
        return self._estimate(query).astype(np.float32)

    def exact_scores(self, query: Array, rows: NDArray[np.int64]) -> Scores:
        """Returns the float64 score of some rows for one query [D], rounded to `DECIMALS`."""
        found = self._added[rows]
        if self._index is not None and self._share:
            found = found + self._share * self._index.exact_scores(query, rows)
        return np.asarray(np.round(found, DECIMALS) + 0.0)

    def score_error(self, query: Array) -> float:
        """Returns the largest difference between the estimated and the exact scores of one query [D]."""
        if self._index is None or not self._share:
            return _ROUNDING
        return abs(self._share) * self._index.score_error(query) + _ROUNDING

    def search(self, queries: Array, k: int, excluded: NDArray[np.bool_] | None = None) -> Found:
        """Searches the k best vectors for each query [q, D]. Equal scores are ordered by row number."""
        rows = np.arange(len(self)) if excluded is None else np.flatnonzero(~excluded)
        k = min(k, len(rows))
        if not k:
            return Found(np.zeros((len(queries), 0)), np.zeros((len(queries), 0), np.int64))
        found = [self._search(query, k, rows) for query in queries]
        return Found(np.stack([one.scores for one in found]), np.stack([one.rows for one in found]))

    def above(
        self, query: Array, thresholds: Scores, excluded: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], Scores]:
        """Returns the rows with a score above the smallest threshold, and their scores, see `VectorIndex.above`."""
        if not len(thresholds):
            return np.zeros(0, np.int64), np.zeros(0)
        found, error = self._estimate(query), self.score_error(query)
        kept = found >= thresholds.min() - error
        if excluded is not None:
            kept &= ~excluded
        close = np.zeros(len(self), np.bool_)
        for threshold in thresholds:
            close |= np.abs(found - threshold) <= error
        exact = np.flatnonzero(kept & close)
        found[exact] = self.exact_scores(query, exact)
        rows = np.flatnonzero(kept & (found > thresholds.min()))
        return rows, found[rows]

    def _search(self, query: Array, k: int, rows: NDArray[np.int64]) -> Found:
        estimate = self._estimate(query)[rows]
        least = np.partition(estimate, len(rows) - k)[len(rows) - k] - 2 * self.score_error(query)
        candidates = rows[estimate >= least]
        scores = self.exact_scores(query, candidates)
        order = np.lexsort((candidates, -scores))[:k]
        return Found(scores[order], candidates[order])

    def _estimate(self, query: Array) -> Scores:
        if self._index is None or not self._share:
            return self._added.copy()
        return np.asarray(self._share * self._index.scores(query).astype(np.float64) + self._added)
