"""Metrics of predicted classes: accuracy, balanced accuracy and average precision. Intervals come from a bootstrap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.metrics.bootstrap import Interval, draw_groups, percentiles
from geojepa_cli.metrics.metrics import average_precision

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

PRECISION_DRAWS = 1000  # bootstrap samples for average precision, which costs more than the other figures
_DRAWS_AT_A_TIME = 128  # limits memory


def recalls(predicted: Labels, true: Labels, classes: int) -> Floats:
    """Returns the recall of each class: the share of its rows for which the class was predicted correctly. [classes]

    NaN for a class without a row.
    """
    hits = np.bincount(true[predicted == true], minlength=classes)
    rows = np.bincount(true, minlength=classes)
    with np.errstate(invalid="ignore"):
        return np.asarray(hits / rows, np.float64)


def average_precisions(probabilities: Floats, true: Labels) -> Floats:
    """Returns the average precision of each class against all other classes, [classes].

    NaN for a class without a row.
    """
    classes = probabilities.shape[1]
    return np.array(
        [
            average_precision(probabilities[:, one], true == one) if (true == one).any() else np.nan
            for one in range(classes)
        ]
    )


class Resampled(NamedTuple):
    """A figure of predictions, averaged over seeds.

    Attributes:
        value: mean over the seeds.
        of_seeds: figure of each seed, [seeds].
        drawn: mean over the seeds in each bootstrap sample, [draws].
    """

    value: float
    of_seeds: Floats
    drawn: Floats


class ClassFigures(NamedTuple):
    """Accuracy, mean recall of the classes, and mean average precision of the classes."""

    accuracy: Resampled
    balanced: Resampled
    average_precision: Resampled


class ClassBootstrap:
    """Confidence intervals of the figures of predicted classes, by a bootstrap that resamples groups of rows.

    Balanced accuracy is the mean of the recalls of all classes, `average_precision` the mean of their average
    precisions, each class against all others. A sample that has no row of a class leaves out this class. All intervals
    use the same bootstrap samples, so two sets of predictions are compared on the same rows.

    Args:
        true: class of each row [n].
        groups: group of each row, such as a zoom-14 tile [n].
        classes: number of classes.
        draws: number of bootstrap samples. Average precision uses at most the first `PRECISION_DRAWS` of them.
        seed: random seed of the samples.
    """

    def __init__(
        self, true: Labels, groups: NDArray[np.generic], classes: int, draws: int = 2000, seed: int = 0
    ) -> None:
        self._true, self._classes = true, classes
        names, self._group = np.unique(groups, return_inverse=True)
        self.groups = len(names)
        self._weights = draw_groups(self.groups, draws, seed)
        self._few_weights = np.ascontiguousarray(self._weights[:PRECISION_DRAWS].T.astype(np.float32))
        self._rows = self._table(np.ones(len(true), np.bool_))

    def figures(self, probabilities: Floats) -> ClassFigures:
        """Computes accuracy and mean average precision of predicted probabilities, with intervals.

        Args:
            probabilities: probability of each class for each of n rows, for each of s seeds. [s, n, classes] The most
                probable class is the predicted one.
        """
        predicted = probabilities.argmax(axis=2)
        hits = [self._table(one == self._true) for one in predicted]
        once = np.ones((1, self.groups))
        found = []
        for balanced in (False, True):
            of_seeds = np.array([self._score(one, once, balanced)[0] for one in hits])
            drawn = np.mean([self._score(one, self._weights, balanced) for one in hits], axis=0)
            found.append(Resampled(float(of_seeds.mean()), of_seeds, drawn))
        precisions = np.array([np.nanmean(average_precisions(one, self._true)) for one in probabilities])
        drawn = np.mean([self._drawn_precisions(one) for one in probabilities], axis=0)
        return ClassFigures(found[0], found[1], Resampled(float(precisions.mean()), precisions, drawn))

    def interval(self, figure: Resampled, other: Resampled | None = None) -> Interval:
        """Returns a figure, or the figure minus that of other predictions, with its 95 % interval."""
        value, drawn = figure.value, figure.drawn
        if other is not None:
            value, drawn = value - other.value, drawn - other.drawn
        return Interval(value, *percentiles(drawn, 0.95), self.groups)

    def _score(self, hits: Floats, weights: Floats, balanced: bool) -> Floats:
        """Returns the accuracy or balanced accuracy in each bootstrap sample. [draws]

        Args:
            hits: number of correct predictions by group and class. [groups, classes]
            weights: number of times that each sample contains each group. [draws, groups]
            balanced: True for balanced accuracy.
        """
        found, rows = weights @ hits, weights @ self._rows
        if not balanced:
            return np.asarray(found.sum(axis=1) / rows.sum(axis=1), np.float64)
        present = rows > 0
        recall = np.divide(found, rows, out=np.zeros_like(found), where=present)
        return np.asarray(recall.sum(axis=1) / present.sum(axis=1), np.float64)

    def _drawn_precisions(self, probabilities: Floats) -> Floats:
        """Returns the mean average precision of the classes in each sample [draws]."""
        found = np.array(
            [self._drawn_precision(probabilities[:, one], self._true == one) for one in np.unique(self._true).tolist()]
        )
        return np.asarray(np.nanmean(found, axis=0), np.float64)

    def _drawn_precision(self, score: Floats, positive: NDArray[np.bool_]) -> Floats:
        """Returns the average precision of one class in each sample [draws]; NaN in a sample without a positive row.

        A sample has each row as often as it drew the row's group. So counts of rows with at least some score are
        cumulative sums of weights. The sums are whole numbers, so float32 is exact.
        """
        order = np.argsort(-score, kind="stable")
        falling = -score[order]
        places = np.flatnonzero(positive[order])
        last = np.searchsorted(falling, falling[places], side="right") - 1  # last row with the same score
        last_positive = np.searchsorted(places, last, side="right") - 1
        group, draws = self._group[order], self._few_weights.shape[1]
        found = np.empty(draws)
        for first in range(0, draws, _DRAWS_AT_A_TIME):
            part = slice(first, first + _DRAWS_AT_A_TIME)
            weights = self._few_weights[group, part]  # [n, draws]
            own = weights[places]
            hits = np.cumsum(own, axis=0)
            rows = np.cumsum(weights, axis=0)[last]
            precision = hits[last_positive].astype(np.float64) / np.maximum(rows, 1)
            with np.errstate(invalid="ignore"):
                found[part] = (own * precision).sum(axis=0) / hits[-1]
        return found

    def _table(self, chosen: NDArray[np.bool_]) -> Floats:
        """Counts the rows for which `chosen` is True, by group and class. [groups, classes]"""
        cells = self._group[chosen] * self._classes + self._true[chosen]
        counts = np.bincount(cells, minlength=self.groups * self._classes)
        return counts.reshape(self.groups, self._classes).astype(np.float64)
