"""Exact search in memory-mapped vectors of one region, at about the speed of one pass over the file.

A search never normalises the stored vectors. In the search space, the similarity of a unit query u and a stored
vector x is u · y / |y| with y = (x − μ) · M (see `SearchSpace`). With a = M · u, this is (x · a − μ · a) / |y|. So the
query is mapped to a once, the norms |y| are computed once per index, and a query costs one product of all vectors
with a.

Products in float32 select candidates. A bound of their rounding errors decides which rows can be among the k best.
The candidates are then ranked by float64 scores, so the result equals a search in float64.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.search.norms import inverse_norms
from geojepa_cli.search.space import SearchSpace, unit_rows
from geojepa_cli.store.columns import Array

# Scores that agree in so many decimals are equal: then the lower row number comes first.
DECIMALS = 12
_SCORES_AT_ONCE = 500_000  # 2 MB in float32, so that scores stay in the cache of one core
_VALUES_AT_ONCE = 3_000_000  # values that are converted to float64 at a time, 24 MB
_QUERIES_AT_ONCE = 512
_FLOAT16_ROWS = 128  # 393 KB at 768 values in float32, so that converted rows stay in the cache of one core
_LOOSE = 8.0  # a vector is loose if its error bound is larger than that of the median vector times this factor
# Relative rounding error of 1 / |y| and of the last operations. Norms of whitened vectors come from a float32 product.
_NORM_ERROR = {"raw": 1e-6, "centred": 1e-6, "balanced": 1e-6, "whitened": 1e-5}


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
        slack: bound of the rounding error of a score of each query, except with the rows in `_loose`. float32 [q]
    """

    weights: Tensor
    offset: Tensor | None
    slack: Tensor


class VectorIndex:
    """Vectors of one region in a search space.

    Opening an index reads the vectors once. It keeps 8 bytes per vector in memory.

    Attributes:
        vectors: stored vectors, such as the memory-mapped column `tile/vector`. float32 or float16 [n, D]
        space: search space.
    """

    def __init__(self, vectors: Array, space: SearchSpace) -> None:
        self.vectors, self.space = vectors, space
        self._tensor = _as_tensor(vectors)
        self._inverse, slack = inverse_norms(vectors, space)
        # Vectors close to the mean have large errors. They are always scored exactly, so that the bound of all others
        # is small.
        known = slack[np.isfinite(slack) & (slack > 0)]
        self._slack = min(float(known.max()), _LOOSE * float(np.median(known))) if len(known) else 0.0
        self._loose = np.flatnonzero(~(slack <= self._slack))

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
        found = self._estimate(self._map(queries))[0].numpy()
        found[self._loose] = self._exact(queries, np.zeros(len(self._loose), np.int64), self._loose)
        return found.clip(-1.0, 1.0)

    def exact_scores(self, query: Array, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the float64 cosine similarity of some rows to one query [D], rounded to `DECIMALS`."""
        query = self._check(query[None], None)
        return self._exact(query, np.zeros(len(rows), np.int64), rows)

    def count_above(
        self, query: Array, thresholds: NDArray[np.float64], excluded: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Returns, for each threshold, the number of vectors whose similarity to one query is larger.

        Args:
            query: vector in the search space. [D]
            thresholds: scores as `search` returns them. [t]
            excluded: True for rows that are not counted. bool [n]
        """
        if not len(thresholds) or not len(self):
            return np.zeros(len(thresholds), np.int64)
        queries = self._check(query[None], excluded)
        mapped = self._map(queries)
        scores, error = self._estimate(mapped)[0].numpy().astype(np.float64), float(mapped.slack[0])
        scores[self._loose] = np.nan
        counted = ~(scores + error < thresholds.min())  # also where a score is not a number
        if excluded is not None:
            counted &= ~excluded
        rows = np.flatnonzero(counted)
        low, high = scores[rows] - error, scores[rows] + error
        ordered = np.sort(thresholds)
        # rows with a threshold between their bounds are scored again; elsewhere the estimate decides
        unsure = np.searchsorted(ordered, low, side="left") != np.searchsorted(ordered, high, side="right")
        unsure |= np.isnan(low)
        final = scores[rows]
        final[unsure] = self._exact(queries, np.zeros(int(unsure.sum()), np.int64), rows[unsure])
        return len(final) - np.searchsorted(np.sort(final), thresholds, side="right")

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
                best = _padded(score.topk(min(k, score.shape[1]), dim=1).values, k)
            # `slack` on both sides: the k-th best score may be less than its estimate, and this one more than its own
            number, row = _true_places(score >= best[:, -1:] - 2.0 * mapped.slack[:, None])
            found = score[number, row]
            best = _best_of(best, number, found) if begin else best
            kept.append((number, row + begin, found))
        number, row, found = (torch.cat(parts) for parts in zip(*kept, strict=True))
        near = (found >= best[number, -1] - 2.0 * mapped.slack[number]) & (found > -torch.inf)
        loose = self._loose if excluded is None else self._loose[~excluded[self._loose]]
        rows = np.concatenate([row[near].numpy(), np.tile(loose, len(queries))])
        numbers = np.concatenate([number[near].numpy(), np.repeat(np.arange(len(queries)), len(loose))])
        return rows, numbers

    def _map(self, queries: NDArray[np.float64]) -> _Mapped:
        mapped = self.space.pull(queries)
        weights = torch.from_numpy(mapped.astype(np.float32))
        offset = None
        if self.space.mean is not None:
            offset = (weights.double() @ torch.from_numpy(self.space.mean)).float()[:, None]
        slack = torch.linalg.vector_norm(weights, dim=1) * self._slack + _NORM_ERROR[self.space.form]
        return _Mapped(weights, offset, slack)

    def _estimate(self, mapped: _Mapped, part: slice = slice(None)) -> Tensor:
        """Returns float32 scores of a part of the rows, -inf for those in `_loose`. [q, n]"""
        score = _products(mapped.weights, self._tensor[part])
        if mapped.offset is not None:
            score.sub_(mapped.offset)
        score.mul_(self._inverse[part])
        if len(self._loose):
            first, last, _ = part.indices(len(self))
            score[:, self._loose[(self._loose >= first) & (self._loose < last)] - first] = -torch.inf
        return score

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


def _padded(scores: Tensor, k: int) -> Tensor:
    """Appends columns of -inf, so that each query has k scores."""
    return torch.nn.functional.pad(scores, (0, k - scores.shape[1]), value=-torch.inf)


def _best_of(best: Tensor, numbers: Tensor, scores: Tensor) -> Tensor:
    """Returns the k best scores of each query [q, k], after more scores were found.

    Args:
        best: the k best scores so far. [q, k]
        numbers: query of each new score, in ascending order. int64 [m]
        scores: new scores. [m]
    """
    if not len(numbers):
        return best
    counts = torch.bincount(numbers, minlength=len(best))
    place = torch.arange(len(numbers)) - (counts.cumsum(0) - counts)[numbers]
    k = best.shape[1]
    found = torch.full((len(best), int(counts.max())), -torch.inf)
    found[numbers, place] = scores
    return torch.cat([best, found], 1).topk(k, dim=1).values


def _as_tensor(column: Array) -> Tensor:
    with warnings.catch_warnings():  # torch warns that the memory-mapped file is read-only; the tensor is never written
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(column)


def _true_places(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the row and column numbers of the true values of a mask, row by row, like `torch.nonzero`.

    Eight values are read at a time, because hardly any is true.
    """
    flat = mask.contiguous().view(-1).numpy()
    whole = len(flat) - len(flat) % 8
    words = np.flatnonzero(flat[:whole].view(np.int64))
    places = (words[:, None] * 8 + np.arange(8)).ravel()
    places = np.concatenate([places, np.arange(whole, len(flat))])
    rows, columns = np.divmod(places[flat[places]], max(1, mask.shape[1]))
    return torch.from_numpy(rows), torch.from_numpy(columns)
