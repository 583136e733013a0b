"""Paired comparison of two models on the same tiles of the same tasks, with an interval over zoom-14 groups."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.evaluate.folds import Floats
from geojepa_cli.evaluate.predictions import DUMMY, DUMMY_HEAD, Predictions
from geojepa_cli.metrics.bootstrap import Interval, bootstrap_relative_difference
from geojepa_cli.tasks.splits import FEW_TEST_GROUPS


@dataclass(frozen=True)
class TaskErrors:
    """Absolute errors on the kept test tiles of one task, [m] each.

    Attributes:
        tiles: hash of tiles, folds and labels; errors may be compared only if their hashes are equal.
        groups: zoom-14 group of every tile, as text.
        dummy: errors of Dummy (the median of the training labels).
        models: errors by `model (head)`.
    """

    tiles: str
    groups: NDArray[np.str_]
    dummy: Floats
    models: Mapping[str, Floats]


@dataclass(frozen=True)
class Comparison:
    """Paired difference of the scores of two models. A score is the mean over tasks of MAE / MAE of Dummy.

    Attributes:
        a, b: names of the models.
        tasks: tasks on which both models were tested, with the same tiles and folds.
        relative_a, relative_b: scores of the models.
        difference: a − b with its paired interval; below 0 if a is better.
        random: True if tiles were split at random; then no model may be called better.
    """

    a: str
    b: str
    tasks: tuple[str, ...]
    relative_a: float
    relative_b: float
    difference: Interval
    random: bool = False

    @property
    def verdict(self) -> str:
        """The conclusion from the interval; no conclusion for a random split or fewer than 20 groups."""
        if self.random:
            return "no claim: random split"
        if self.difference.groups < FEW_TEST_GROUPS:
            return f"no claim: fewer than {FEW_TEST_GROUPS} groups"
        if self.difference.low <= 0 <= self.difference.high:
            return "no difference shown"
        return "a is better" if self.difference.high < 0 else "b is better"

    def to_json(self) -> dict[str, Any]:
        """Returns the comparison as JSON values."""
        interval = self.difference
        return {
            "a": {"model": self.a, "relative": self.relative_a},
            "b": {"model": self.b, "relative": self.relative_b},
            "tasks": list(self.tasks),
            "difference": {"value": interval.value, "low": interval.low, "high": interval.high},
            "groups": interval.groups,
            "verdict": self.verdict,
        }


def task_errors(predictions: Predictions) -> TaskErrors:
    """Returns the absolute errors of Dummy and of every `model (head)` on the kept tiles."""
    kept = predictions.kept
    errors = {key: np.abs(values - predictions.labels)[kept] for key, values in predictions.predicted.items()}
    models = {f"{model} ({head})": values for (model, head), values in errors.items() if model != DUMMY}
    digest = hashlib.sha256("\n".join(",".join(row) for row in predictions.tested.tolist()).encode()).hexdigest()
    return TaskErrors(digest, predictions.groups[kept], errors[DUMMY, DUMMY_HEAD], models)


def compare(tasks: Mapping[str, TaskErrors], a: str, b: str, seed: int = 0, random: bool = False) -> Comparison:
    """Compares two models with a paired bootstrap: both models, Dummy and all tasks use the same draws of groups.

    Args:
        tasks: errors by task; they must include both models.
        a, b: names of the models.
        seed: seed of the bootstrap.
        random: True if tiles were split at random.

    Raises:
        ValueError: Dummy makes no error in any task.
    """
    names = sorted(tasks)
    found = [tasks[name] for name in names]
    interval = bootstrap_relative_difference(
        [task.models[a] for task in found],
        [task.models[b] for task in found],
        [task.dummy for task in found],
        [task.groups for task in found],
        seed=seed,
    )
    counted = [task for task in found if task.dummy.sum() > 0]
    relative = [float(np.mean([task.models[model].mean() / task.dummy.mean() for task in counted])) for model in (a, b)]
    return Comparison(a, b, tuple(names), relative[0], relative[1], interval, random)


def compare_all(
    tasks: Mapping[str, Sequence[TaskErrors]], models: Sequence[str], random: bool = False
) -> list[Comparison]:
    """Compares all pairs of models that have the same head and were tested on the same tiles and folds of a task.

    Args:
        tasks: errors of one or several probes by task, oldest first. A newer probe replaces an older one of the same
            model.
        models: models as `model (head)`, in the order of the table.
        random: True if tiles were split at random.

    Returns:
        Comparisons in the order of `models`. Two models are compared on the tasks on which both were tested.
    """
    newest = {name: {model: errors for errors in probes for model in errors.models} for name, probes in tasks.items()}
    made = []
    for place, a in enumerate(models):
        for b in models[place + 1 :]:
            if a.rpartition(" (")[2] != b.rpartition(" (")[2]:
                continue
            shared = {
                name: _joined(by_model[a], by_model[b], a, b)
                for name, by_model in newest.items()
                if a in by_model and b in by_model and by_model[a].tiles == by_model[b].tiles
            }
            if any(task.dummy.sum() > 0 for task in shared.values()):
                made.append(compare(shared, a, b, random=random))
    return made


def _joined(one: TaskErrors, other: TaskErrors, a: str, b: str) -> TaskErrors:
    return TaskErrors(one.tiles, one.groups, one.dummy, {a: one.models[a], b: other.models[b]})
