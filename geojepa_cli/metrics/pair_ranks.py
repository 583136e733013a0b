"""Ranks in a search across two views of places: from a point of an image to tags, and from tags to points.

Entities with equal tags are never wrong answers for each other, because no image shows which of them is meant.
Candidates that are equally similar are in a random order, so figures are means over all orders.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]

TOLERANCE = 1e-6  # similarities that differ by less are equal; float32 rounds them by about 1e-7
_SCORES_AT_ONCE = 8_000_000  # number of similarities in memory (32 MB)


class Ranks(NamedTuple):
    """Place of the right candidate of each of q queries.

    Attributes:
        above: number of wrong candidates that are more similar than the right one, int64 [q].
        tied: number of wrong candidates that are equally similar, int64 [q].
        wrong: number of wrong candidates, int64 [q].
    """

    above: Ints
    tied: Ints
    wrong: Ints

    def by_chance(self) -> Ranks:
        """Returns the same queries with all candidates equally similar, which gives the figures of a random order."""
        return Ranks(np.zeros_like(self.above), self.wrong, self.wrong)


def rank_tag_sets(points: Vectors, wanted: Ints, ground: Vectors, sets: Ints) -> Ranks:
    """Ranks sets of tags by their similarity to what is read at points.

    Each distinct set of tags is one candidate. Its similarity is that of its most similar entity.

    Args:
        points: unit vectors that are read at points, float32 [q, D].
        wanted: set of tags of the entity at each point. It must occur in `sets`. int64 [q]
        ground: unit vectors of the n entities that are candidates, float32 [n, D].
        sets: set of tags of each of these entities, int64 [n].
    """
    names, inverse = np.unique(sets, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.searchsorted(inverse[order], np.arange(len(names)))
    right, candidates = np.searchsorted(names, wanted), np.ascontiguousarray(ground[order].T)
    above, tied = np.empty(len(points), np.int64), np.empty(len(points), np.int64)
    for part in _parts(len(points), len(sets)):
        best = np.maximum.reduceat(points[part] @ candidates, starts, axis=1)
        own = np.take_along_axis(best, right[part, None], axis=1)
        above[part] = (best > own + TOLERANCE).sum(axis=1)
        tied[part] = (np.abs(best - own) <= TOLERANCE).sum(axis=1) - 1
    return Ranks(above, tied, np.full(len(points), len(names) - 1))


def rank_points(ground: Vectors, points: Vectors, sets: Ints) -> Ranks:
    """Ranks points by the similarity of what is read there to the tags of an entity.

    Each of n entities is a query, and its point is the right candidate. The points of entities with other tags are
    wrong candidates. Those of other entities with equal tags are left out.

    Args:
        ground: unit vectors of the entities, float32 [n, D].
        points: unit vectors that are read at the points of the same entities, float32 [n, D].
        sets: set of tags of each entity, int64 [n].
    """
    above, tied, wrong = (np.empty(len(ground), np.int64) for _ in range(3))
    candidates = np.ascontiguousarray(points.T)
    for part in _parts(len(ground), len(points)):
        found = ground[part] @ candidates
        own = found[np.arange(len(found)), np.arange(len(ground))[part]][:, None]
        other = sets[part, None] != sets
        above[part] = ((found > own + TOLERANCE) & other).sum(axis=1)
        tied[part] = ((np.abs(found - own) <= TOLERANCE) & other).sum(axis=1)
        wrong[part] = other.sum(axis=1)
    return Ranks(above, tied, wrong)


def recall(ranks: Ranks, k: int) -> Floats:
    """Returns, for each query, the share of orders in which the right candidate is among the first k, float64 [q]."""
    return np.asarray(np.clip((k - ranks.above) / (ranks.tied + 1), 0.0, 1.0), np.float64)


def reciprocal_rank(ranks: Ranks) -> Floats:
    """Returns, for each query, the mean of 1 / rank of the right candidate over all orders, float64 [q]."""
    last = ranks.above + ranks.tied + 1
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int(last.max(initial=0)) + 1))])
    return np.asarray((harmonic[last] - harmonic[ranks.above]) / (ranks.tied + 1), np.float64)


def half_distance(distances: Floats, values: Floats) -> float | None:
    """Returns the distance at which a curve has lost half of its excess over its last value.

    The curve is linear between the given distances. Returns None if its first value is not above its last one.

    Args:
        distances: distances, ascending, [n].
        values: value at each distance, [n].
    """
    excess = values - values[-1]
    half = excess[0] / 2.0
    if half <= 0:
        return None
    after = int(np.argmax(excess <= half))
    share = (excess[after - 1] - half) / (excess[after - 1] - excess[after])
    return float(distances[after - 1] + share * (distances[after] - distances[after - 1]))


def _parts(queries: int, candidates: int) -> list[slice]:
    step = max(1, _SCORES_AT_ONCE // max(1, candidates))
    return [slice(begin, begin + step) for begin in range(0, queries, step)]
