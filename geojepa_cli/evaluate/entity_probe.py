"""Entity probe: tests how well the vectors of entities predict a tag that was hidden from the models.

The head is a multinomial logistic regression on standardised vectors. The baseline Dummy predicts the most frequent
class of the training part. Groups are zoom-14 tiles. Figures are averaged over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.console import counted
from geojepa_cli.evaluate.entity_fitting import DUMMY, EntityVectors, Floats, Row, fit_entity_heads
from geojepa_cli.evaluate.entity_parts import BETWEEN_REGIONS, LEFT_OUT_REGIONS, Part, Rows
from geojepa_cli.evaluate.fit_jobs import Progress
from geojepa_cli.evaluate.scores import rounded
from geojepa_cli.metrics.bootstrap import Interval
from geojepa_cli.metrics.classification import ClassBootstrap, ClassFigures, average_precisions, recalls
from geojepa_cli.tasks.splits import few_tested

FIGURES = ("accuracy", "balanced", "average_precision")


@dataclass(frozen=True)
class EntityScore:
    """Scores of one head on the vectors of one model, averaged over seeds.

    Attributes:
        model: name of the model or baseline.
        accuracy, balanced, average_precision: accuracy, mean recall of the classes, and mean average precision of the
            classes (each against all others), with 95 % intervals over groups.
        bare_accuracy: accuracy on examples without any visible tag; None if there are none.
        recall, precision_of_class: recall and average precision of each class, by name; None without a tested example.
        spread: standard deviation over the seeds of the three figures, by name; None for one seed.
    """

    model: str
    accuracy: Interval
    balanced: Interval
    average_precision: Interval
    bare_accuracy: float | None
    recall: dict[str, float | None]
    precision_of_class: dict[str, float | None]
    spread: dict[str, float] | None

    def to_json(self) -> dict[str, Any]:
        """Returns the score as a dict for JSON, with numbers rounded to six digits."""
        found: dict[str, Any] = rounded(asdict(self))
        return found


@dataclass(frozen=True)
class Difference:
    """Paired differences of two models, with 95 % intervals over groups."""

    accuracy: Interval
    balanced: Interval
    average_precision: Interval

    def to_json(self) -> dict[str, Any]:
        """Returns the differences as a dict for JSON, with numbers rounded to six digits."""
        values = {name: getattr(self, name) for name in FIGURES}
        found: dict[str, Any] = rounded(
            {name: {"value": one.value, "low": one.low, "high": one.high} for name, one in values.items()}
        )
        return found


@dataclass(frozen=True)
class CurvePoint:
    """Scores of the vectors of a model with the weight alpha, and their differences from those with the weight 0."""

    alpha: float
    score: EntityScore
    difference: Difference


@dataclass(frozen=True)
class EntityResult:
    """Result of an entity probe.

    Attributes:
        evaluation: `test regions`, `left-out regions` or `cross-validation`.
        folds: number of folds.
        classes: names of the classes.
        scores: one score for each model. The score of Dummy is the first.
        differences: for each pair (model, other), their differences.
        curve: by name of the model, one point for each weight alpha, in ascending order. Empty without a curve.
        probabilities: probabilities of the classes, float64 [seeds, n, classes], by model; NaN for examples that were
            not tested.
        tested: True for tested examples, bool [n].
    """

    evaluation: str
    folds: int
    classes: tuple[str, ...]
    scores: list[EntityScore]
    differences: dict[tuple[str, str], Difference]
    curve: dict[str, list[CurvePoint]]
    probabilities: dict[str, Floats]
    tested: NDArray[np.bool_]

    def describe(self, groups: int) -> str:
        """Returns one line of text: how heads were tested, and the number of tested examples and groups."""
        on = f"{counted(int(self.tested.sum()), 'entity', 'entities')} in {counted(groups, 'zoom-14 group')}"
        if self.evaluation == BETWEEN_REGIONS:
            return f"trained on other regions: {on}{few_tested(groups)}"
        if self.evaluation == LEFT_OUT_REGIONS:
            return f"{self.folds}-fold cross-validation over regions (trained on other regions): {on}"
        return f"{self.folds}-fold cross-validation over groups: {on}"


def run_entity_probe(
    vectors: EntityVectors,
    labels: Rows,
    classes: Sequence[str],
    groups: Rows,
    bare: NDArray[np.bool_],
    parts: Sequence[Sequence[Part]],
    evaluation: str,
    seed: int = 0,
    threads: int = 1,
    progress: Progress = lambda done, total: None,
) -> EntityResult:
    """Fits a head to the vectors of every model, and tests it.

    Args:
        vectors: vectors of the n examples.
        labels: class of each example, as index in `classes`, int64 [n].
        classes: names of the classes. All must occur in every training part.
        groups: group (zoom-14 tile) of each example, int64 [n].
        bare: True for examples without any visible tag, bool [n].
        parts: for each seed, training, validation and test examples of each fold. All seeds test the same examples.
        evaluation: `test regions`, `left-out regions` or `cross-validation`.
        seed: seed of the bootstrap.
        threads: number of heads to fit at the same time. Does not affect the result.
        progress: function called after each fit with the number of finished fits and the total number of fits.
    """
    probabilities = fit_entity_heads(vectors, labels, len(classes), parts, threads, progress)
    tested = np.zeros(len(labels), np.bool_)
    tested[np.concatenate([part.test for part in parts[0]])] = True
    true = labels[tested]
    bootstrap = ClassBootstrap(true, groups[tested], len(classes), seed=seed)

    def score(row: Row) -> tuple[EntityScore, ClassFigures]:
        found = probabilities[row][:, tested]
        figures = bootstrap.figures(found)
        return _score(row.name, found, figures, true, bare[tested], tuple(classes), bootstrap), figures

    with ThreadPoolExecutor(threads) as pool:
        scored = dict(zip(probabilities, pool.map(score, probabilities), strict=True))
    figures = {row: found for row, (_, found) in scored.items()}

    def difference(a: Row, b: Row) -> Difference:
        return Difference(*(bootstrap.interval(*pair) for pair in zip(figures[a], figures[b], strict=True)))

    def at(name: str, alpha: float) -> CurvePoint:
        return CurvePoint(alpha, scored[Row(name, alpha)][0], difference(Row(name, alpha), Row(name)))

    names = vectors.names
    curve = {name: [at(name, one) for one in sorted({0.0, *shifted})] for name, shifted in vectors.shifted.items()}
    return EntityResult(
        evaluation,
        len(parts[0]),
        tuple(classes),
        [scored[Row(name)][0] for name in (DUMMY, *names)],
        {(a, b): difference(Row(a), Row(b)) for place, a in enumerate(names) for b in names[place + 1 :]},
        curve,
        {name: probabilities[Row(name)] for name in (DUMMY, *names)},
        tested,
    )


def _score(
    name: str,
    probabilities: Floats,
    figures: ClassFigures,
    labels: Rows,
    bare: NDArray[np.bool_],
    classes: tuple[str, ...],
    bootstrap: ClassBootstrap,
) -> EntityScore:
    predicted = probabilities.argmax(axis=2)
    # a class without a tested example is NaN with every seed
    found = np.mean([recalls(one, labels, len(classes)) for one in predicted], axis=0)
    precisions = np.mean([average_precisions(one, labels) for one in probabilities], axis=0)
    return EntityScore(
        name,
        bootstrap.interval(figures.accuracy),
        bootstrap.interval(figures.balanced),
        bootstrap.interval(figures.average_precision),
        float((predicted == labels)[:, bare].mean()) if bare.any() else None,
        dict(zip(classes, map(_known, found.tolist()), strict=True)),
        dict(zip(classes, map(_known, precisions.tolist()), strict=True)),
        _spread(figures) if len(probabilities) > 1 else None,
    )


def _spread(figures: ClassFigures) -> dict[str, float]:
    return {name: float(one.of_seeds.std(ddof=1)) for name, one in zip(FIGURES, figures, strict=True)}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
