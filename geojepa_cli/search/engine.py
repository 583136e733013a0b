"""Exact search in memory-mapped vectors of one region, at about the speed of one pass over the file.

A search never normalises the stored vectors. In the search space, the similarity of a unit query u and a stored
vector x is u · y / |y| with y = (x − μ) · M (see `SearchSpace`). With a = M · u, this is (x · a − μ · a) / |y|. So the
query is mapped to a once, the norms |y| are computed once per index, and a query costs one product of all vectors
with a.

Products in float32 select candidates. A bound of their rounding errors decides which rows can be among the k best.
The candidates are then ranked by float64 scores, so the result equals a search in float64.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.search.norms import as_tensor, inverse_norms
from geojepa_cli.search.space import SearchSpace, unit_rows
from geojepa_cli.search.top_scores import best_of, padded, true_places
from geojepa_cli.store.columns import Array

# Scores that agree in so many decimals are equal: then the lower row number comes first.
DECIMALS = 12
_SCORES_AT_ONCE = 500_000  # 2 MB in float32, so that scores stay in the cache of one core
_VALUES_AT_ONCE = 3_000_000  # values that are converted to float64 at a time, 24 MB
_QUERIES_AT_ONCE = 512
_FLOAT16_ROWS = 256  # 786 KB at 768 values in float32, so that converted rows stay in the cache of one core
_LOOSE = 8.0  # a vector is loose if its error bound is larger than that of the median vector times this factor
_NORM_ERROR = 1e-5  # relative rounding error of 1 / |y|, which is computed in float32, and of the last operations


class Found(NamedTuple):
    """The best rows of each query.

    Attributes:
        scores: cosine similarities in the search space, best first, rounded to `DECIMALS`. float64 [q, k]
        rows: row numbers. int64 [q, k]
    """

    scores: NDArray[np.float64]
    rows: NDArray[np.int64]


class _Mapped(NamedTuple):
    """Queries as they are multiplied with stored vectors.

    Attributes:
        weights: a = M · u of each query. float32 [q, D]
        offset: μ · a of each query; None without a mean. float32 [q, 1]
        slack: bound of the rounding error of a score of each query, except with the rows in `_Norms.loose`. float32 [q]
    """

    weights: Tensor
    offset: Tensor | None
    slack: Tensor


class _Norms(NamedTuple):
    """Norms of the vectors of an index.

    Attributes:
        inverse: 1 / |y| of each vector. float32 [n]
        slack: bound of the rounding error of a score for a query with |a| = 1, except with the rows in `loose`.
        loose: rows close to the mean, whose errors are large. They are always scored exactly, so that the bound of all
            others is small. int64
    """

    inverse: Tensor
    slack: float
    loose: NDArray[np.int64]


class VectorIndex:
    """Vectors of one region in a search space.

    The first search reads the vectors twice. An index keeps 4 bytes per vector in memory.

    Attributes:
        vectors: stored vectors, such as the memory-mapped column `tile/vector`. float32 or float16 [n, D]
        space: search space.
    """

    def __init__(self, vectors: Array, space: SearchSpace) -> None:
        self.vectors, self.space = vectors, space
        self._tensor = as_tensor(vectors)
        self._last: tuple[bytes, _Mapped, NDArray[np.float32]] | None = None  # the last query and its estimates

    @functools.cached_property
    def _norms(self) -> _Norms:
        inverse, errors = inverse_norms(self.vectors, self.space)
        known = errors[np.isfinite(errors) & (errors > 0)]
        slack = min(float(known.max()), _LOOSE * float(np.median(known))) if len(known) else 0.0
        return _Norms(inverse, slack, np.flatnonzero(~(errors <= slack)))

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, queries: Array, k: int, excluded: NDArray[np.bool_] | None = None) -> Found:
        """Searches the k vectors most similar to each query, best first. Equal scores are ordered by row number.

        Args:
            queries: vectors in the search space. Only their directions count. [q, D]
            k: number of vectors per query. Fewer are returned if fewer may be returned.
            excluded: True for rows that are never returned. bool [n]

        Raises:
            ValueError: the shapes do not match, or k is less than 1.
        """
        queries = self._check(queries, excluded)
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        k = min(k, len(self) - (int(excluded.sum()) if excluded is not None else 0))
        if not k or not len(queries):
            return Found(np.zeros((len(queries), 0)), np.zeros((len(queries), 0), np.int64))
        parts = [
            self._search(queries[begin : begin + _QUERIES_AT_ONCE], k, excluded)
            for begin in range(0, len(queries), _QUERIES_AT_ONCE)
        ]
        return Found(np.concatenate([part.scores for part in parts]), np.concatenate([part.rows for part in parts]))

    def scores(self, query: Array) -> NDArray[np.float32]:
        """Returns the cosine similarity of every vector to one query [D], with errors of about 1e-5. float32 [n]"""
        queries = self._check(query[None], None)
        found = self._all_estimates(queries)[1].copy()
        found[self._norms.loose] = self._exact(queries, np.zeros(len(self._norms.loose), np.int64), self._norms.loose)
        return found.clip(-1.0, 1.0)

    def exact_scores(self, query: Array, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the float64 cosine similarity of some rows to one query [D], rounded to `DECIMALS`."""
        query = self._check(query[None], None)
        return self._exact(query, np.zeros(len(rows), np.int64), rows)

    def score_error(self, query: Array) -> float:
        """Returns the largest difference between `scores` and `exact_scores` of one query [D]."""
        return float(self._map(self._check(query[None], None)).slack[0])

    def above(
        self, query: Array, thresholds: NDArray[np.float64], excluded: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Returns the rows that are more similar to one query than the smallest threshold, and their scores.

        A score is exact if there is a threshold close to it. Other scores are estimates, which are on the same side of
        every threshold as the exact ones.

        Args:
            query: vector in the search space. [D]
            thresholds: scores as `search` returns them. [t]
            excluded: True for rows that are never returned. bool [n]
        """
        if not len(thresholds) or not len(self):
            return np.zeros(0, np.int64), np.zeros(0)
        queries = self._check(query[None], excluded)
        mapped, estimates = self._all_estimates(queries)
        scores, error = estimates.astype(np.float64), float(mapped.slack[0])
        scores[self._norms.loose] = np.nan
        kept = ~(scores + error < thresholds.min())  # also where a score is not a number
        if excluded is not None:
            kept &= ~excluded
        rows = np.flatnonzero(kept)
        found = scores[rows]
        ordered = np.sort(thresholds)
        low = np.searchsorted(ordered, found - error, side="left")
        unsure = (low != np.searchsorted(ordered, found + error, side="right")) | np.isnan(found)
        found[unsure] = self._exact(queries, np.zeros(int(unsure.sum()), np.int64), rows[unsure])
        larger = found > thresholds.min()
        return rows[larger], found[larger]

    def _search(self, queries: NDArray[np.float64], k: int, excluded: NDArray[np.bool_] | None) -> Found:
        found, numbers = self._candidates(queries, k, excluded)
        scores = self._exact(queries, numbers, found)
        order = np.lexsort((found, -scores, numbers))
        first = np.searchsorted(numbers[order], np.arange(len(queries)))
        best = order[first[:, None] + np.arange(k)]
        return Found(scores[best], found[best])

    def _candidates(
        self, queries: NDArray[np.float64], k: int, excluded: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the rows that may be among the k best of a query, and for each the number of the query."""
        allowed = None if excluded is None else torch.from_numpy(~excluded)
        mapped = self._map(queries)
        best = torch.full((len(queries), k), -torch.inf)  # the k best estimates so far
        kept: list[tuple[Tensor, Tensor, Tensor]] = []
        step = max(1024, _SCORES_AT_ONCE // len(queries))
        for begin in range(0, len(self), step):
            part = slice(begin, begin + step)
            score = self._estimate(mapped, part)
            if allowed is not None:
                score.masked_fill_(~allowed[part], -torch.inf)
            if begin == 0:
                best = padded(score.topk(min(k, score.shape[1]), dim=1).values, k)
            # `slack` on both sides: the k-th best score may be less than its estimate, and this one more than its own
            number, row = true_places(score >= best[:, -1:] - 2.0 * mapped.slack[:, None])
            found = score[number, row]
            best = best_of(best, number, found) if begin else best
            kept.append((number, row + begin, found))
        number, row, found = (torch.cat(parts) for parts in zip(*kept, strict=True))
        near = (found >= best[number, -1] - 2.0 * mapped.slack[number]) & (found > -torch.inf)
        loose = self._norms.loose if excluded is None else self._norms.loose[~excluded[self._norms.loose]]
        rows = np.concatenate([row[near].numpy(), np.tile(loose, len(queries))])
        numbers = np.concatenate([number[near].numpy(), np.repeat(np.arange(len(queries)), len(loose))])
        return rows, numbers

    def _map(self, queries: NDArray[np.float64]) -> _Mapped:
        mapped = self.space.pull(queries)
        weights = torch.from_numpy(mapped.astype(np.float32))
        offset = None
        if self.space.mean is not None:
            offset = (weights.double() @ torch.from_numpy(self.space.mean)).float()[:, None]
        slack = torch.linalg.vector_norm(weights, dim=1) * self._norms.slack + _NORM_ERROR
        return _Mapped(weights, offset, slack)

    def _estimate(self, mapped: _Mapped, part: slice = slice(None)) -> Tensor:
        """Returns float32 scores of a part of the rows, -inf for those in `_Norms.loose`. [q, n]"""
        score = _products(mapped.weights, self._tensor[part])
        if mapped.offset is not None:
            score.sub_(mapped.offset)
        score.mul_(self._norms.inverse[part])
        if len(self._norms.loose):
            first, last, _ = part.indices(len(self))
            score[:, self._norms.loose[(self._norms.loose >= first) & (self._norms.loose < last)] - first] = -torch.inf
        return score

    def _all_estimates(self, queries: NDArray[np.float64]) -> tuple[_Mapped, NDArray[np.float32]]:
        """Returns one query [1, D] as it is multiplied, and the estimates of all rows, which must not be changed. [n]

        Those of the last query are kept, because its callers ask for scores and for places.
        """
        last, key = self._last, queries.tobytes()
        if last is None or last[0] != key:
            mapped = self._map(queries)
            self._last = last = key, mapped, self._estimate(mapped)[0].numpy()
        return last[1], last[2]

    def _exact(
        self, queries: NDArray[np.float64], numbers: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Returns the float64 scores of pairs of a query number and a row, rounded to `DECIMALS`."""
        order = np.argsort(rows, kind="stable")
        scores = np.empty(len(rows))
        step = max(1, _VALUES_AT_ONCE // max(1, self.vectors.shape[1]))
        for begin in range(0, len(order), step):
            pairs = order[begin : begin + step]
            distinct, places = np.unique(rows[pairs], return_inverse=True)
            units = unit_rows(self.space.transform(self.vectors[distinct]))
            scores[pairs] = np.einsum("ij,ij->i", units[places], queries[numbers[pairs]])
        return np.round(scores.clip(-1.0, 1.0), DECIMALS) + 0.0

    def _check(self, queries: Array, excluded: NDArray[np.bool_] | None) -> NDArray[np.float64]:
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1]:
            raise ValueError(f"expected queries of {self.vectors.shape[1]} values, got shape {queries.shape}")
        if excluded is not None and excluded.shape != (len(self),):
            raise ValueError(f"`excluded` must have shape [{len(self)}], got {excluded.shape}")
        return unit_rows(np.asarray(queries, np.float64))


def _products(weights: Tensor, vectors: Tensor) -> Tensor:
    """Returns the dot products of queries [q, D] and stored vectors [n, D]. float32 [q, n]"""
    if vectors.dtype == torch.float32:
        return torch.mv(vectors, weights[0])[None] if len(weights) == 1 else weights @ vectors.T
    if len(weights) > 1:
        return weights @ vectors.float().T
    products = torch.empty(1, len(vectors))
    converted = torch.empty(_FLOAT16_ROWS, vectors.shape[1])
    for begin in range(0, len(vectors), _FLOAT16_ROWS):
        rows = vectors[begin : begin + _FLOAT16_ROWS]
        torch.mv(converted[: len(rows)].copy_(rows), weights[0], out=products[0, begin : begin + len(rows)])
    return products
