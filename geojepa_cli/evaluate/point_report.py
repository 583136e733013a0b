"""Figures of models that read images at points: means, paired differences and their intervals, for `report.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from geojepa_cli.evaluate.entity_image import FIGURES, Cell
from geojepa_cli.evaluate.offset_curve import CURVES, DISTANCES_M
from geojepa_cli.evaluate.point_groups import Figures, Floats, Row
from geojepa_cli.metrics.bootstrap import draw_groups, percentiles
from geojepa_cli.metrics.metrics import spearman
from geojepa_cli.metrics.pair_ranks import half_distance
from geojepa_cli.models.gair.readings import AT_POINT

DRAWS = 2000
LEVEL = 0.95
DIGITS = 6
Value = dict[str, float]


class Means:
    """Means of figures over queries, in all queries and in bootstrap samples of zoom-14 groups.

    All rows of the table have the same samples, so differences between them are paired.

    Args:
        figures: figures of the queries of a search, of at least one.
        seed: random seed of the samples.
    """

    def __init__(self, figures: Figures, seed: int) -> None:
        self._figures = figures
        names, self._place = np.unique(figures.all_groups, return_inverse=True)
        self.queries, self.groups = len(self._place), len(names)
        self._weights = draw_groups(len(names), DRAWS, seed)
        self._counts = np.bincount(self._place).astype(np.float64)
        self._known: dict[Row | None, tuple[Floats, Floats]] = {}

    def of(self, row: Row | None) -> tuple[Floats, Floats]:
        """Returns the means of a row, [figures], and those of each sample, [samples, figures]."""
        if row not in self._known:
            values = self._figures.of(row)
            sums = np.stack([np.bincount(self._place, column) for column in values.T], axis=1)
            drawn = (self._weights @ sums) / (self._weights @ self._counts)[:, None]
            self._known[row] = sums.sum(axis=0) / self._counts.sum(), drawn
        return self._known[row]

    def interval(self, column: int, row: Row | None, less: Row | None = None) -> Value:
        """Returns the mean of a figure with its interval, or the difference from another row."""
        mean, drawn = (part[..., column] for part in self.of(row))
        if less is not None:
            other, other_drawn = (part[..., column] for part in self.of(less))
            mean, drawn = mean - other, drawn - other_drawn
        return rounded(float(mean), drawn)


def rounded(value: float, drawn: Floats) -> Value:
    """Returns a value and its interval as a dict."""
    low, high = percentiles(drawn, LEVEL)
    named = {"value": value, "low": low, "high": high}
    return {name: round(number, DIGITS) for name, number in named.items()}


def differences_of(rows: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Yields the pairs to compare: each model with its other readings, then the models with each other."""
    main = [row for row in rows if row.reading == AT_POINT]
    for row in main:
        yield from ((row, other) for other in rows if other.model == row.model and other != row)
    for place, row in enumerate(main):
        yield from ((row, other) for other in main[place + 1 :])


def entity_image_report(found: Mapping[Cell, Figures], seed: int) -> dict[str, Any]:
    """Returns the figures of the searches across the two views.

    Args:
        found: figures of each search. A search without queries is left out.
        seed: random seed of the intervals.
    """
    searches = []
    for cell, figures in found.items():
        if not len(figures.all_groups):
            continue
        means = Means(figures, seed)
        rows = [row for row in figures.values if row is not None]

        def values(row: Row | None, less: Row | None = None, means: Means = means) -> dict[str, Value]:
            return {name: means.interval(column, row, less) for column, name in enumerate(FIGURES)}

        searches.append(
            {
                **cell._asdict(),
                "queries": means.queries,
                "groups": means.groups,
                "random": values(None),
                "scores": [{**row._asdict(), **values(row)} for row in rows],
                "differences": [{"a": a._asdict(), "b": b._asdict(), **values(a, b)} for a, b in differences_of(rows)],
            }
        )
    return {"searches": searches}


def offset_report(figures: Figures, seed: int) -> dict[str, Any]:
    """Returns the curves of quality against distance.

    `spearman` is the rank correlation of distance and figure, `half_distance_m` the distance at which half of the
    excess over the largest distance is lost, `best_m` the distance with the best figure. They are null for a flat or
    rising curve.

    Args:
        figures: figures of at least one entity, see `offset_curves`.
        seed: random seed of the intervals.
    """
    means = Means(figures, seed)
    rows = [row for row in figures.values if row is not None]
    return {
        "queries": means.queries,
        "groups": means.groups,
        "distances_m": list(DISTANCES_M),
        "random": {name: means.interval(_columns(number).start, None) for number, name in enumerate(CURVES)},
        "scores": [{**row._asdict(), **_curves(means, row)} for row in rows],
        "differences": [_difference(means, a, b) for a, b in differences_of(rows)],
    }


def _columns(number: int) -> range:
    """Returns the columns of one of `CURVES`."""
    return range(number * len(DISTANCES_M), (number + 1) * len(DISTANCES_M))


def _curves(means: Means, row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, name in enumerate(CURVES):
        columns = _columns(number)
        mean, drawn = (part[..., columns.start : columns.stop] for part in means.of(row))
        rank = _of_curves(_spearman, mean, drawn)
        found[name] = {
            "curve": [means.interval(column, row) for column in columns],
            "best_m": None if rank is None else DISTANCES_M[int(mean.argmax())],
            "spearman": rank,
            "half_distance_m": _of_curves(_half, mean, drawn),
        }
    return found


def _difference(means: Means, a: Row, b: Row) -> dict[str, Any]:
    """Returns the paired difference of two rows at each distance."""
    curves = {name: [means.interval(column, a, b) for column in _columns(number)] for number, name in enumerate(CURVES)}
    return {"a": a._asdict(), "b": b._asdict(), **curves}


def _of_curves(measure: Callable[[Floats], float | None], mean: Floats, drawn: Floats) -> Value | None:
    """Returns a measure of a curve with its interval. Samples in which it is undefined are left out."""
    value = measure(mean)
    known = [one for one in map(measure, drawn) if one is not None]
    return None if value is None else rounded(value, np.array(known or [value]))


def _spearman(curve: Floats) -> float | None:
    return None if np.ptp(curve) < 10.0**-DIGITS else spearman(curve, np.array(DISTANCES_M))


def _half(curve: Floats) -> float | None:
    return half_distance(np.array(DISTANCES_M), curve) if curve[0] - curve[-1] >= 10.0**-DIGITS else None
