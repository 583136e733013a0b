"""Metrics of predicted classes: accuracy, balanced accuracy and average precision. Intervals come from a bootstrap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.metrics.bootstrap import Interval, draw_groups, percentiles
from geojepa_cli.metrics.metrics import average_precision

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


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


class ClassBootstrap:
    """Confidence intervals of accuracy and balanced accuracy, by a bootstrap that resamples groups of rows.

    Balanced accuracy is the mean of the recalls of all classes. A sample that has no row of a class leaves out this
    class. All intervals use the same bootstrap samples, so two sets of predictions are compared on the same rows.

    Args:
        true: class of each row [n].
        groups: group of each row, such as a zoom-14 tile [n].
        classes: number of classes.
        draws: number of bootstrap samples.
        seed: random seed of the samples.
    """

    def __init__(
        self, true: Labels, groups: NDArray[np.generic], classes: int, draws: int = 2000, seed: int = 0
    ) -> None:
        self._true, self._classes = true, classes
        names, self._group = np.unique(groups, return_inverse=True)
        self.groups = len(names)
        self._weights = draw_groups(self.groups, draws, seed)
        self._rows = self._table(np.ones(len(true), np.bool_))

    def accuracy(self, predicted: Labels, other: Labels | None = None) -> Interval:
        """Returns the accuracy of predictions with its 95 % interval.

        With `other`, returns the difference: the accuracy of `predicted` minus the accuracy of `other`.
        """
        return self._interval(*self._figures(predicted, other, balanced=False))

    def balanced(self, predicted: Labels, other: Labels | None = None) -> Interval:
        """Returns the balanced accuracy of predictions with its 95 % interval.

        With `other`, returns the difference: the balanced accuracy of `predicted` minus that of `other`.
        """
        return self._interval(*self._figures(predicted, other, balanced=True))

    def _figures(self, predicted: Labels, other: Labels | None, balanced: bool) -> tuple[float, Floats]:
        hits = self._table(predicted == self._true)
        once = np.ones((1, self.groups))
        value, drawn = self._score(hits, once, balanced)[0], self._score(hits, self._weights, balanced)
        if other is not None:
            theirs = self._table(other == self._true)
            value = value - self._score(theirs, once, balanced)[0]
            drawn = drawn - self._score(theirs, self._weights, balanced)
        return float(value), drawn

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

    def _table(self, chosen: NDArray[np.bool_]) -> Floats:
        """Counts the rows for which `chosen` is True, by group and class. [groups, classes]"""
        cells = self._group[chosen] * self._classes + self._true[chosen]
        counts = np.bincount(cells, minlength=self.groups * self._classes)
        return counts.reshape(self.groups, self._classes).astype(np.float64)

    def _interval(self, value: float, drawn: Floats) -> Interval:
        return Interval(value, *percentiles(drawn, 0.95), self.groups)
