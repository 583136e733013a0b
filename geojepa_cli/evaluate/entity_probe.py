"""Entity probe: tests how well the vectors of entities predict a tag that was hidden from the models.

The head is a multinomial logistic regression on standardised vectors. The baseline Dummy predicts the most frequent
class of the training part. Groups are zoom-14 tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.config.limits import FOLDS, MIN_GROUPS
from geojepa_cli.console import counted
from geojepa_cli.errors import DataError
from geojepa_cli.evaluate.scores import rounded
from geojepa_cli.metrics.bootstrap import Interval
from geojepa_cli.metrics.classification import ClassBootstrap, average_precisions, recalls
from geojepa_cli.metrics.folds import group_folds
from geojepa_cli.metrics.logistic import fit_logistic
from geojepa_cli.tasks.splits import few_tested

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

DUMMY = "dummy"
BETWEEN_REGIONS, CROSS_VALIDATION = "test regions", "cross-validation"


@dataclass(frozen=True)
class Part:
    """Indexes of the examples of one fold, int64: to train on, to choose the penalty on, and to test."""

    train: Rows
    val: Rows
    test: Rows


@dataclass(frozen=True)
class EntityScore:
    """Scores of one head on the vectors of one model.

    Attributes:
        model: name of the model or baseline.
        accuracy, balanced: accuracy, and mean recall of the classes, with 95 % intervals over groups.
        average_precision: mean average precision of the classes, each against all others.
        bare_accuracy: accuracy on examples without any visible tag; None if there are none.
        recall, precision_of_class: recall and average precision of each class, by name; None without a tested example.
    """

    model: str
    accuracy: Interval
    balanced: Interval
    average_precision: float
    bare_accuracy: float | None
    recall: dict[str, float | None]
    precision_of_class: dict[str, float | None]

    def to_json(self) -> dict[str, Any]:
        """Returns the score as a dict for JSON, with numbers rounded to six digits."""
        found: dict[str, Any] = rounded(asdict(self))
        return found


@dataclass(frozen=True)
class EntityResult:
    """Result of an entity probe.

    Attributes:
        evaluation: `test regions` or `cross-validation`.
        classes: names of the classes.
        scores: one score for each model. The score of Dummy is the first.
        differences: for each pair (model, other), the two differences of accuracy and balanced accuracy.
        probabilities: probabilities of the classes, float64 [n, classes], by model; NaN for examples that were not
            tested.
        tested: True for tested examples, bool [n].
    """

    evaluation: str
    classes: tuple[str, ...]
    scores: list[EntityScore]
    differences: dict[tuple[str, str], tuple[Interval, Interval]]
    probabilities: dict[str, Floats]
    tested: NDArray[np.bool_]

    def describe(self, groups: int) -> str:
        """Returns one line of text: how heads were tested, and the number of tested examples and groups."""
        on = f"{counted(int(self.tested.sum()), 'entity', 'entities')} in {counted(groups, 'zoom-14 group')}"
        if self.evaluation == BETWEEN_REGIONS:
            return f"trained on other regions: {on}{few_tested(groups)}"
        return f"{FOLDS}-fold cross-validation over groups: {on}"


def make_parts(groups: Rows, test_region: NDArray[np.bool_] | None, seed: int) -> list[Part]:
    """Assigns examples to training, validation and test.

    Args:
        groups: group (zoom-14 tile) of each example, int64 [n].
        test_region: True for examples of test regions, bool [n]: they are tested, and a fifth of the other groups is
            used for validation. None: cross-validation over groups; each fold is tested once, with the next fold for
            validation.
        seed: seed of the assignment of groups.

    Raises:
        DataError: there are too few groups, or no example in the training or in the test regions.
    """
    trained = groups if test_region is None else groups[~test_region]
    if len(np.unique(trained)) < MIN_GROUPS:
        few = counted(len(np.unique(trained)), "zoom-14 group")
        raise DataError(f"too few entities to probe: they are in {few}, expected at least {MIN_GROUPS}")
    fold = np.full(len(groups), -1, np.int64)
    fold[slice(None) if test_region is None else ~test_region] = group_folds(trained, FOLDS, seed)
    if test_region is not None:
        if not test_region.any():
            raise DataError("the test regions have no entity to test")
        overlap = np.isin(groups, groups[test_region]) & ~test_region  # a group on the border of two regions
        rows = (np.flatnonzero(~overlap & (fold > 0)), np.flatnonzero(~overlap & (fold == 0)))
        return [Part(*rows, np.flatnonzero(test_region))]
    count = int(fold.max()) + 1
    return [
        Part(
            np.flatnonzero((fold != number) & (fold != (number + 1) % count)),
            np.flatnonzero(fold == (number + 1) % count),
            np.flatnonzero(fold == number),
        )
        for number in range(count)
    ]


def frequent_classes(labels: Rows, classes: int, parts: Sequence[Part], minimum: int) -> list[int]:
    """Returns the classes with at least `minimum` examples in every training part. Test examples do not count."""
    counts = [np.bincount(labels[np.concatenate([part.train, part.val])], minlength=classes) for part in parts]
    return np.flatnonzero(np.min(counts, axis=0) >= minimum).tolist()


def run_entity_probe(
    vectors: Mapping[str, NDArray[np.float32]],
    labels: Rows,
    classes: Sequence[str],
    groups: Rows,
    bare: NDArray[np.bool_],
    parts: Sequence[Part],
    evaluation: str,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> EntityResult:
    """Fits a head to the vectors of every model, and tests it.

    Args:
        vectors: vectors of the n examples by name of the model, float32 [n, d].
        labels: class of each example, as index in `classes`, int64 [n].
        classes: names of the classes. All must occur in every training part.
        groups: group (zoom-14 tile) of each example, int64 [n].
        bare: True for examples without any visible tag, bool [n].
        parts: training, validation and test examples of each fold.
        evaluation: `test regions` or `cross-validation`.
        seed: seed of the bootstrap.
        progress: function called after each fit with the number of finished fits and the total number of fits.
    """
    probabilities = {name: np.full((len(labels), len(classes)), np.nan) for name in (DUMMY, *vectors)}
    for index, part in enumerate(parts):
        known = labels[np.concatenate([part.train, part.val])]
        probabilities[DUMMY][part.test] = np.bincount(known, minlength=len(classes)) / len(known)
        for place, (name, x) in enumerate(vectors.items(), start=1):
            model = fit_logistic(x, labels, len(classes), part.train, part.val)
            probabilities[name][part.test] = model.predict(x[part.test])
            progress(index * len(vectors) + place, len(parts) * len(vectors))
    tested = np.zeros(len(labels), np.bool_)
    tested[np.concatenate([part.test for part in parts])] = True
    predicted = {name: found[tested].argmax(axis=1) for name, found in probabilities.items()}
    bootstrap = ClassBootstrap(labels[tested], groups[tested], len(classes), seed=seed)
    scores = [
        _score(name, found[tested], predicted[name], labels[tested], bare[tested], tuple(classes), bootstrap)
        for name, found in probabilities.items()
    ]
    names = list(vectors)
    pairs = [(a, b) for place, a in enumerate(names) for b in names[place + 1 :]]
    differences = {
        (a, b): (bootstrap.accuracy(predicted[a], predicted[b]), bootstrap.balanced(predicted[a], predicted[b]))
        for a, b in pairs
    }
    return EntityResult(evaluation, tuple(classes), scores, differences, probabilities, tested)


def _score(
    name: str,
    probabilities: Floats,
    predicted: Rows,
    labels: Rows,
    bare: NDArray[np.bool_],
    classes: tuple[str, ...],
    bootstrap: ClassBootstrap,
) -> EntityScore:
    found, precisions = recalls(predicted, labels, len(classes)), average_precisions(probabilities, labels)
    return EntityScore(
        name,
        bootstrap.accuracy(predicted),
        bootstrap.balanced(predicted),
        float(np.nanmean(precisions)),
        float((predicted == labels)[bare].mean()) if bare.any() else None,
        dict(zip(classes, map(_known, found.tolist()), strict=True)),
        dict(zip(classes, map(_known, precisions.tolist()), strict=True)),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
