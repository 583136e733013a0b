"""Retrieval: searches for tiles or entities that share a feature, with the vectors of several models and spaces.

All figures are means over queries. Their intervals come from a bootstrap that resamples the zoom-14 groups of the
queries, with the same samples for all models, spaces and features. The candidates stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.metrics.bootstrap import Interval, draw_groups, percentiles
from geojepa_cli.metrics.retrieval import QueryScores, random_average_precision, score_queries
from geojepa_cli.tasks.splits import FEW_TEST_GROUPS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Vectors = NDArray[np.float32]

# figures of a query; `recall_100` is the recall among the first 100 candidates
FIGURES = ("average_precision", "precision", "recall", "recall_100")
DEEP = 100
DRAWS = 2000


class Row(NamedTuple):
    """A row of the table: a model, and the space in which its vectors are compared."""

    model: str
    space: str


class Feature(NamedTuple):
    """A feature to search for.

    Attributes:
        name, title: its name, and its title in tables.
        relevant: True for rows (tiles or entities) with the feature, bool [n].
    """

    name: str
    title: str
    relevant: Flags


@dataclass(frozen=True)
class FeatureScores:
    """Scores of the queries for one feature.

    Attributes:
        feature: the feature.
        queries: row number of each query, ascending, int64 [q].
        groups: group (zoom-14 tile) of each query, int64 [q].
        random: expected figures of a random order of the candidates, float64 [q, figures].
        figures: figures of each query, by row of the table, float64 [q, figures]. Columns are those of `FIGURES`.
    """

    feature: Feature
    queries: Ints
    groups: Ints
    random: Floats
    figures: Mapping[Row, Floats]

    @property
    def n_groups(self) -> int:
        """Number of groups with a query."""
        return len(np.unique(self.groups))

    @property
    def averaged(self) -> bool:
        """True if there are enough groups for the mean over features."""
        return self.n_groups >= FEW_TEST_GROUPS


def search_features(
    features: Sequence[Feature],
    rows: Iterable[tuple[Row, Callable[[Feature], Vectors]]],
    groups: Ints,
    k: int,
    threads: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> list[FeatureScores]:
    """Searches for every feature, with every row with the feature as a query, among all rows of other groups.

    Args:
        features: features to search for.
        rows: for each row of the table, a function that returns the unit vectors (or zeros) in which a feature is
            searched, [n, D]. It is called from several threads.
        groups: group of each of the n rows, int64 [n].
        k: number of candidates that count for precision and recall.
        threads: number of searches at the same time. Does not affect the result.
        progress: function that is called with the number of finished rows of the table.

    Returns:
        Scores of the features that have a query.
    """
    from threadpoolctl import threadpool_limits

    scores: dict[str, dict[Row, QueryScores]] = {feature.name: {} for feature in features}
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for done, (row, vectors) in enumerate(rows, start=1):

            def search(feature: Feature, vectors: Callable[[Feature], Vectors] = vectors) -> QueryScores:
                return score_queries(vectors(feature), feature.relevant, groups, (k, DEEP))

            for feature, found in zip(features, pool.map(search, features), strict=True):
                scores[feature.name][row] = found
            progress(done)
    every = [_figures(feature, scores[feature.name], groups, k) for feature in features]
    return [one for one in every if len(one.queries)]


def _figures(feature: Feature, scores: Mapping[Row, QueryScores], groups: Ints, k: int) -> FeatureScores:
    first = next(iter(scores.values()))
    relevant, candidates = first.relevant, first.candidates
    short, deep = np.minimum(k, candidates), np.minimum(DEEP, candidates)
    by_chance = [random_average_precision(relevant, candidates), relevant / candidates]
    random = np.stack([*by_chance, short / candidates, deep / candidates], axis=1)
    figures = {
        row: np.stack(
            [one.average_precision, one.hits[:, 0] / short, one.hits[:, 0] / relevant, one.hits[:, 1] / relevant],
            axis=1,
        )
        for row, one in scores.items()
    }
    return FeatureScores(feature, first.rows, groups[first.rows], random, figures)


class RetrievalBootstrap:
    """Means of figures over queries and features, with 95 % intervals over the groups of the queries.

    The mean over features gives every feature the same weight, and leaves out those with too few groups. A sample
    without a query for a feature leaves out this feature.

    Args:
        features: scores of features, each with at least one query.
        seed: random seed of the samples.
        draws: number of samples.
    """

    def __init__(self, features: Sequence[FeatureScores], seed: int = 0, draws: int = DRAWS) -> None:
        self._features = list(features)
        self._names = np.unique(np.concatenate([np.empty(0, np.int64), *(one.groups for one in features)]))
        self._weights = draw_groups(len(self._names), draws, seed) if features else np.empty((draws, 0))
        self._averaged = [place for place, one in enumerate(self._features) if one.averaged]
        self._cache: dict[Row | None, tuple[Floats, Floats]] = {}

    @property
    def groups(self) -> int:
        """Number of groups with a query for one of the features in the mean."""
        found = [self._features[place].groups for place in self._averaged]
        return len(np.unique(np.concatenate(found))) if found else 0

    def feature(self, place: int, row: Row | None, figure: int) -> Interval:
        """Returns the mean of a figure over the queries of one feature.

        Args:
            place: index of the feature.
            row: row of the table; None for a random order.
            figure: index in `FIGURES`.
        """
        means, drawn = self._means(row)
        samples = drawn[place, :, figure]
        low, high = percentiles(samples[~np.isnan(samples)], 0.95)
        return Interval(float(means[place, figure]), low, high, self._features[place].n_groups)

    def mean(self, row: Row | None, figure: int, other: Row | None = None) -> Interval | None:
        """Returns the mean of a figure over the features, or the paired difference of two rows of the table.

        Returns None if no feature has enough groups.

        Args:
            row: row of the table; None for a random order.
            figure: index in `FIGURES`.
            other: row whose figure is subtracted; None for none.
        """
        if not self._averaged:
            return None
        means, drawn = (table[self._averaged, ..., figure] for table in self._means(row))
        if other is not None:
            less = [table[self._averaged, ..., figure] for table in self._means(other)]
            means, drawn = means - less[0], drawn - less[1]
        known = drawn[:, ~np.isnan(drawn).all(axis=0)]
        return Interval(float(means.mean()), *percentiles(np.nanmean(known, axis=0), 0.95), self.groups)

    def _means(self, row: Row | None) -> tuple[Floats, Floats]:
        """Returns the means over queries [features, figures], and those of each sample [features, draws, figures]."""
        if row not in self._cache:
            means = np.empty((len(self._features), len(FIGURES)))
            drawn = np.empty((len(self._features), len(self._weights), len(FIGURES)))
            for number, one in enumerate(self._features):
                figures = one.random if row is None else one.figures[row]
                names, place = np.unique(one.groups, return_inverse=True)
                weights = self._weights[:, np.searchsorted(self._names, names)]
                sums = np.stack([np.bincount(place, column) for column in figures.T], axis=1)
                rows = (weights @ np.bincount(place))[:, None]
                means[number] = figures.mean(axis=0)
                drawn[number] = np.divide(weights @ sums, rows, out=np.full(drawn.shape[1:], np.nan), where=rows > 0)
            self._cache[row] = means, drawn
        return self._cache[row]
