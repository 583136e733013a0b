"""Figures of retrieval: average precision, precision and recall of a search for rows that share a feature.

Every row with the feature is a query. All rows outside the query's group are candidates, ranked by their similarity to
the query. A hit is a candidate with the feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_SCORES_AT_ONCE = 8_000_000  # number of similarities in memory (32 MB), of which sorted copies are made


class QueryScores(NamedTuple):
    """Figures of q queries.

    Attributes:
        rows: row number of each query, ascending, int64 [q]. Rows for which no other group has the feature are no
            queries.
        relevant: number of candidates with the feature, int64 [q].
        candidates: number of candidates, int64 [q].
        average_precision: average precision over the ranking of all candidates, float64 [q].
        hits: number of hits among the first k candidates, for each of c values of k, float64 [q, c].
    """

    rows: Ints
    relevant: Ints
    candidates: Ints
    average_precision: Floats
    hits: Floats


def score_queries(vectors: NDArray[np.float32], relevant: Flags, groups: Ints, cutoffs: Sequence[int]) -> QueryScores:
    """Ranks all rows of other groups for every row with the feature, by the dot product with its vector.

    Average precision is that of scikit-learn's `average_precision_score`: candidates with equal similarities have the
    same rank, the last one. Among the first k candidates, equal similarities at the end count by their share of hits,
    which is the mean over all orders. Similarities are rounded to float32.

    Memory does not grow with the number of queries.

    Args:
        vectors: unit vectors, or zeros, float32 [n, D].
        relevant: True for rows with the feature, bool [n].
        groups: group of each row, int64 [n]. Rows of the query's group are no candidates.
        cutoffs: values of k, each at least 1.
    """
    places, rest = np.flatnonzero(relevant), np.flatnonzero(~relevant)
    own, known = _group_sizes(groups, groups[places]), _group_sizes(groups[places], groups[places])
    count, candidates = len(places) - known, len(groups) - own
    kept = np.flatnonzero(count > 0)
    rows, count, candidates = places[kept], count[kept], candidates[kept]
    precision, hits = np.empty(len(rows)), np.empty((len(rows), len(cutoffs)))
    sides = [(torch.from_numpy(vectors[side]).T, groups[side]) for side in (places, rest)]
    step = max(1, _SCORES_AT_ONCE // max(1, len(groups)))
    for begin in range(0, len(rows), step):
        part = slice(begin, begin + step)
        queries = torch.from_numpy(vectors[rows[part]])
        found, others = (_sorted(queries @ side, group, groups[rows[part]]) for side, group in sides)
        precision[part] = _average_precision(found, others, count[part])
        for place, k in enumerate(cutoffs):
            hits[part, place] = _hits(found, others, np.minimum(k, candidates[part]))
    return QueryScores(rows, count, candidates, precision, hits)


def random_average_precision(relevant: Ints, candidates: Ints) -> Floats:
    """Returns the expected average precision of a random order, float64 [q].

    With R relevant of N candidates and the harmonic number H, it is (R − 1) / (N − 1) + (1 − (R − 1) / (N − 1)) · H(N)
    / N (Bestgen 2015). It is a little above the share of relevant candidates.

    Args:
        relevant: number of relevant candidates of each query, at least 1, int64 [q].
        candidates: number of candidates of each query, int64 [q].
    """
    harmonic = np.cumsum(1.0 / np.arange(1, int(candidates.max(initial=0)) + 1))
    share = (relevant - 1) / np.maximum(candidates - 1, 1)
    return np.asarray(share + (1 - share) * harmonic[candidates - 1] / candidates)


def _group_sizes(groups: Ints, wanted: Ints) -> Ints:
    """Returns how often each wanted group occurs in `groups`. Every wanted group must occur."""
    names, counts = np.unique(groups, return_counts=True)
    return np.asarray(counts[np.searchsorted(names, wanted)], np.int64)


def _sorted(scores: torch.Tensor, groups: Ints, excluded: Ints) -> NDArray[np.float32]:
    """Sorts each row of similarities. Those to rows of an excluded group become −inf."""
    found: NDArray[np.float32] = scores.numpy()
    found[excluded[:, None] == groups] = -np.inf
    found.sort(axis=1)
    return found


def _average_precision(found: NDArray[np.float32], others: NDArray[np.float32], count: Ints) -> Floats:
    """Returns the average precision of each query.

    Args:
        found, others: similarities of the rows with and without the feature, ascending, [q, P] and [q, n − P]. Rows
            that are no candidates have −inf.
        count: number of candidates with the feature, [q].
    """
    above = found.shape[1] - _first_of_equals(found, found)  # hits that are at least as similar
    wrong = others.shape[1] - _first_of_equals(others, found)
    precision = above / (above + wrong)
    precision[~np.isfinite(found)] = 0.0
    return np.asarray(precision.sum(axis=1) / count)


def _first_of_equals(scores: NDArray[np.float32], values: NDArray[np.float32]) -> Ints:
    """Returns, row by row, how many of the ascending `scores` are below each of the ascending `values`."""
    pairs = zip(scores, values, strict=True)
    return np.stack([np.searchsorted(row, value) for row, value in pairs])


def _hits(found: NDArray[np.float32], others: NDArray[np.float32], k: Ints) -> Floats:
    """Returns the number of hits among the first k candidates of each query; k may differ between queries."""
    most = int(k.max(initial=0))
    best = np.concatenate([found[:, -most:], others[:, -most:]], axis=1)
    best.sort(axis=1)
    least = np.take_along_axis(best, best.shape[1] - k[:, None], axis=1)  # similarity of candidate k
    own, own_equal = _count_above(found, least)
    other, other_equal = _count_above(others, least)
    return np.asarray(own + (k - own - other) * own_equal / (own_equal + other_equal))


def _count_above(scores: NDArray[np.float32], least: NDArray[np.float32]) -> tuple[Ints, Ints]:
    """Returns, for each row, how many similarities are above a value, and how many are equal to it."""
    row, value = torch.from_numpy(scores), torch.from_numpy(least)
    left = torch.searchsorted(row, value)[:, 0].numpy()
    right = torch.searchsorted(row, value, right=True)[:, 0].numpy()
    return scores.shape[1] - right, right - left
