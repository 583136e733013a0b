"""Predicts the class of every reviewed entity with heads that saw no entity of its zoom-14 tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.evaluate.entity_fitting import Vectors
from geojepa_cli.evaluate.entity_parts import Part, Rows
from geojepa_cli.evaluate.fit_jobs import Progress, run_class_jobs
from geojepa_cli.metrics.logistic import fit_logistic

Floats = NDArray[np.float64]

MIN_CLASS = 10  # entities that a class needs; rarer ones are one class together
MOST_OF_CLASS = 1000  # entities of a class that a head is fitted to
PENALTY = 0.01  # of the heads; a search with validation rows takes four times as long
PRIOR = 0.03  # share of the class frequencies in the probabilities


@dataclass(frozen=True)
class Classes:
    """Classes that heads predict: the frequent ones, and one for all rare ones.

    Attributes:
        labels: predicted class of each row, int64 [n].
        frequent: classes of the family that are frequent, in order. They are the first predicted classes.
        count: number of predicted classes; one more than the frequent ones if there are rare ones.
    """

    labels: Rows
    frequent: Rows
    count: int

    @property
    def shares(self) -> Floats:
        """Share of each predicted class, [count]."""
        return np.bincount(self.labels, minlength=self.count) / max(1, len(self.labels))


def pool_rare(labels: Rows, minimum: int = MIN_CLASS) -> Classes:
    """Returns the classes to predict. Classes with fewer than `minimum` rows become one class."""
    counts = np.bincount(labels)
    frequent = np.flatnonzero(counts >= minimum)
    number = np.full(len(counts), len(frequent), np.int64)
    number[frequent] = np.arange(len(frequent))
    return Classes(number[labels], frequent, len(frequent) + int((counts[counts < minimum] > 0).any()))


def out_of_fold(
    vectors: Mapping[str, Vectors],
    classes: Classes,
    parts: Sequence[Part],
    order: NDArray[np.float64],
    threads: int,
    progress: Progress,
) -> dict[str, Floats]:
    """Predicts the class of each row, with heads of the other folds.

    A head is fitted to at most `MOST_OF_CLASS` rows of each class, which makes its time independent of the size of the
    region. Its probabilities are then corrected for the shares of classes that this changes.

    Args:
        vectors: features of the n rows by name, float32 [n, d].
        classes: class of each row.
        parts: folds; every row is in the test part of one.
        order: number of each row, [n]. The rows of a class with the lowest numbers are used.
        threads: number of heads to fit at the same time. Does not affect the result.
        progress: function called after each fit with the number of finished fits and the total number of fits.

    Returns:
        Probabilities by name, float64 [n, classes].
    """
    found = {name: np.empty((len(classes.labels), classes.count)) for name in vectors}

    def fit(name: str, part: Part) -> None:
        x, y = vectors[name], classes.labels
        known = np.concatenate([part.train, part.val])
        used = _limited(known, y, order)
        head = fit_logistic(x, y, classes.count, used, np.empty(0, np.int64), (PENALTY,))
        before, after = (np.bincount(y[rows], minlength=classes.count) + 0.5 for rows in (known, used))
        raised = head.predict(x[part.test]) * (before / after)
        found[name][part.test] = raised / raised.sum(axis=1, keepdims=True)

    jobs = [(name, part) for name in vectors for part in parts]
    run_class_jobs(fit, jobs, threads, progress)
    return found


def pooled(probabilities: Sequence[Floats], weights: Sequence[float]) -> Floats:
    """Returns the weighted geometric mean of several predictions, normalised (logarithmic opinion pool)."""
    logs = sum(w * np.log(np.maximum(p, 1e-9)) for p, w in zip(probabilities, weights, strict=True))
    raised = np.exp(np.asarray(logs, np.float64))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)


def with_prior(probabilities: Floats, shares: Floats) -> Floats:
    """Returns probabilities that contain a small share of the class frequencies, so that none is near 0."""
    return (1.0 - PRIOR) * probabilities + PRIOR * shares


def _limited(rows: Rows, y: Rows, order: NDArray[np.float64]) -> Rows:
    sorted_rows = rows[np.lexsort((order[rows], y[rows]))]
    labels = y[sorted_rows]
    rank = np.arange(len(labels)) - np.searchsorted(labels, labels)
    return np.sort(sorted_rows[rank < MOST_OF_CLASS])
