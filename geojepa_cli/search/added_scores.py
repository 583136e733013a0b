"""Search by a weighted sum of the cosine to a query vector and of given scores, such as those of a text."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.search.engine import DECIMALS, Found
from geojepa_cli.store.columns import Array

Scores = NDArray[np.float64]
_UNCERTAIN = 1e-3  # cosines that are computed in float32 have errors of about 1e-5


class Index(Protocol):
    """Interface of an index of vectors: `engine.VectorIndex`, whose methods are described there, or `SummedIndex`."""

    def __len__(self) -> int: ...
    def search(self, queries: Array, k: int, excluded: NDArray[np.bool_] | None = None) -> Found: ...
    def scores(self, query: Array) -> NDArray[np.float32]: ...
    def exact_scores(self, query: Array, rows: NDArray[np.int64]) -> Scores: ...
    def count_above(
        self, query: Array, thresholds: Scores, excluded: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]: ...


class SummedIndex:
    """Index whose score of a vector is `share` · cosine + the given score of the vector.

    Args:
        index: index of the vectors. It is not read if `share` is 0.
        share: weight of the cosine.
        added: score to add for each vector, already weighted. float64 [n]
    """

    def __init__(self, index: Index, share: float, added: Scores) -> None:
        if len(index) != len(added):
            raise ValueError(f"{len(added)} scores for {len(index)} vectors")
        self._index, self._share, self._added = index, share, added

    def __len__(self) -> int:
        return len(self._added)

    def scores(self, query: Array) -> NDArray[np.float32]:
        """Returns the score of every vector for one query [D], with errors of about 1e-5. float32 [n]"""
        return self._estimate(query).astype(np.float32)

    def exact_scores(self, query: Array, rows: NDArray[np.int64]) -> Scores:
        """Returns the float64 score of some rows for one query [D], rounded to `DECIMALS`."""
        cosine = self._index.exact_scores(query, rows) if self._share else np.zeros(len(rows))
        return np.asarray(np.round(self._share * cosine + self._added[rows], DECIMALS) + 0.0)

    def search(self, queries: Array, k: int, excluded: NDArray[np.bool_] | None = None) -> Found:
        """Searches the k best vectors for each query [q, D]. Equal scores are ordered by row number."""
        rows = np.arange(len(self)) if excluded is None else np.flatnonzero(~excluded)
        k = min(k, len(rows))
        if not k:
            return Found(np.zeros((len(queries), 0)), np.zeros((len(queries), 0), np.int64))
        found = [self._search(query, k, rows) for query in queries]
        return Found(np.stack([one.scores for one in found]), np.stack([one.rows for one in found]))

    def count_above(
        self, query: Array, thresholds: Scores, excluded: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Returns, for each threshold, the number of vectors whose score for one query is larger."""
        estimate = self._estimate(query)
        kept = np.ones(len(self), np.bool_) if excluded is None else ~excluded
        close = np.zeros(len(self), np.bool_)
        for threshold in thresholds:
            close |= np.abs(estimate - threshold) <= _UNCERTAIN
        rows = np.flatnonzero(kept & close)
        estimate[rows] = self.exact_scores(query, rows)
        return np.array([int((kept & (estimate > one)).sum()) for one in thresholds], np.int64)

    def _search(self, query: Array, k: int, rows: NDArray[np.int64]) -> Found:
        estimate = self._estimate(query)[rows]
        least = np.partition(estimate, len(rows) - k)[len(rows) - k] - _UNCERTAIN
        candidates = rows[estimate >= least]
        scores = self.exact_scores(query, candidates)
        order = np.lexsort((candidates, -scores))[:k]
        return Found(scores[order], candidates[order])

    def _estimate(self, query: Array) -> Scores:
        if not self._share:
            return self._added.copy()
        return np.asarray(self._share * self._index.scores(query).astype(np.float64) + self._added)
