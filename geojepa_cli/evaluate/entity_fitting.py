"""Fits the heads of an entity probe, several at the same time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.evaluate.entity_parts import Part, Rows
from geojepa_cli.evaluate.fit_jobs import Progress, run_class_jobs
from geojepa_cli.metrics.boosting import fit_boosted_classes
from geojepa_cli.metrics.logistic import fit_logistic

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

DUMMY = "dummy"


class Row(NamedTuple):
    """A row of the tables: a model or baseline, and the weight alpha of its vectors (0 for the model's vectors)."""

    name: str
    alpha: float = 0.0


@dataclass(frozen=True)
class EntityVectors:
    """Vectors of the n examples, float32 [n, d].

    Attributes:
        linear: vectors by name of the model or baseline, for a logistic regression.
        boosted: features by name of the baseline, for gradient boosting.
        shifted: by name of the model, vectors with other weights than 0, by weight.
    """

    linear: Mapping[str, Vectors]
    boosted: Mapping[str, Vectors] = field(default_factory=dict)
    shifted: Mapping[str, Mapping[float, Vectors]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the models and baselines."""
        return [*self.linear, *self.boosted]


def fit_entity_heads(
    vectors: EntityVectors,
    labels: Rows,
    classes: int,
    parts: Sequence[Sequence[Part]],
    threads: int,
    progress: Progress,
) -> dict[Row, Floats]:
    """Fits a head to the vectors of every row, and predicts the classes of the tested examples.

    Args:
        vectors: vectors of the n examples.
        labels: class of each example, int64 [n].
        classes: number of classes.
        parts: for each seed, the folds.
        threads: number of heads to fit at the same time. Does not affect the result.
        progress: function called after each fit with the number of finished fits and the total number of fits.

    Returns:
        Probabilities of the classes, float64 [seeds, n, classes], by row; NaN for examples that are not tested. The
        first row is Dummy. Rows with equal vectors share the array.
    """
    rows: dict[Row, Vectors] = {Row(name): x for name, x in vectors.linear.items()}
    same: dict[Row, Row] = {}
    for name, shifted in vectors.shifted.items():
        for alpha, x in shifted.items():
            if np.array_equal(x, vectors.linear[name]):  # the surroundings do not change these vectors
                same[Row(name, alpha)] = Row(name)
            else:
                rows[Row(name, alpha)] = x
    boosted = {Row(name): x for name, x in vectors.boosted.items()}
    empty = (len(parts), len(labels), classes)
    found = {row: np.full(empty, np.nan) for row in (Row(DUMMY), *rows, *boosted)}

    def fit(row: Row, run: int, part: Part) -> None:
        if row in boosted:
            found[row][run, part.test] = _boosted(boosted[row], labels, classes, part)
        else:
            model = fit_logistic(rows[row], labels, classes, part.train, part.val)
            found[row][run, part.test] = model.predict(rows[row][part.test])

    jobs = [(row, run, part) for row in (*boosted, *rows) for run, folds in enumerate(parts) for part in folds]
    run_class_jobs(fit, jobs, threads, progress)
    for run, folds in enumerate(parts):
        for part in folds:
            found[Row(DUMMY)][run, part.test] = _shares(labels, classes, part)
    return found | {row: found[other] for row, other in same.items()}


def _boosted(x: Vectors, labels: Rows, classes: int, part: Part) -> Floats:
    model = fit_boosted_classes(x, labels, classes, part.train, part.val)
    if model is None:
        return np.tile(_shares(labels, classes, part), (len(part.test), 1))
    return model.predict(x[part.test])


def _shares(labels: Rows, classes: int, part: Part) -> Floats:
    """Returns the share of each class in the training and validation part, [classes]."""
    known = labels[np.concatenate([part.train, part.val])]
    return np.asarray(np.bincount(known, minlength=classes) / len(known), np.float64)
