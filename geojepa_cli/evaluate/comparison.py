"""Paired comparison of two models on the same tiles of the same tasks.

The difference of their scores has a confidence interval from a bootstrap, which resamples groups. A group is the set
of all tiles in the same zoom-14 tile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.config.language_model import ZERO_SHOT
from geojepa_cli.evaluate.fitting import SUPERVISED_HEAD
from geojepa_cli.evaluate.folds import Floats
from geojepa_cli.evaluate.predictions import DUMMY, DUMMY_HEAD, DUMMY_ROW, Predictions
from geojepa_cli.metrics.bootstrap import Interval, bootstrap_relative_difference
from geojepa_cli.tasks.splits import FEW_TEST_GROUPS


@dataclass(frozen=True)
class TaskErrors:
    """Absolute errors of Dummy and of models on the m test tiles of one task.

    The m test tiles do not include tiles with label 0 that were removed to reduce their number (thinning).

    Attributes:
        tiles: hash of the tested tiles with their folds and labels. Compare errors only if the hashes are equal.
        groups: name of the zoom-14 tile that contains each tile, [m].
        dummy: errors of Dummy, which always predicts the median of the training labels, float64 [m].
        models: errors of each model and of Dummy, float64 [m]; keys are names such as `tiny (linear)` (model and head).
            NaN for tiles without a prediction of a language model.
    """

    tiles: str
    groups: NDArray[np.str_]
    dummy: Floats
    models: Mapping[str, Floats]


@dataclass(frozen=True)
class Comparison:
    """Paired difference of the scores of two models.

    For each task, the MAE of a model is divided by the MAE of the baseline Dummy (predicts the median). The score is
    the mean of these ratios over tasks.

    Attributes:
        a, b: names of the two models, such as `tiny (linear)`.
        tasks: tasks on which both models were tested, with the same tiles and folds.
        relative_a, relative_b: scores of the two models.
        difference: score of a minus score of b, with its confidence interval. A negative difference means that a is
            better.
        random: True if each tile was assigned to a split separately. Then scores are too good, and the verdict does
            not call any model better.
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
        """Text that says which model is better, or that no difference is shown.

        For a random split, or with tiles in fewer than 20 zoom-14 tiles, the text is "no claim" with the reason.
        """
        if self.random:
            return "no claim: random split"
        if self.difference.groups < FEW_TEST_GROUPS:
            return f"no claim: fewer than {FEW_TEST_GROUPS} groups"
        if self.difference.low <= 0 <= self.difference.high:
            return "no difference shown"
        return "a is better" if self.difference.high < 0 else "b is better"

    def to_json(self) -> dict[str, Any]:
        """Returns the comparison as a dict for JSON."""
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
    """Computes the absolute errors of each prediction head of each model, and of the baseline Dummy (median).

    The errors of a head with several seeds are averaged over the seeds. Leaves out tiles with label 0 that were removed
    to reduce their number (thinning).
    """
    kept = predictions.kept
    errors = {
        key: np.abs(values - predictions.labels).mean(axis=0)[kept] for key, values in predictions.predicted.items()
    }
    models = {f"{model} ({head})": values for (model, head), values in errors.items()}
    digest = hashlib.sha256("\n".join(",".join(row) for row in predictions.tested.tolist()).encode()).hexdigest()
    return TaskErrors(digest, predictions.groups[kept], errors[DUMMY, DUMMY_HEAD], models)


def compare(tasks: Mapping[str, TaskErrors], a: str, b: str, seed: int = 0, random: bool = False) -> Comparison:
    """Compares two models with a paired bootstrap over groups (zoom-14 tiles).

    Each bootstrap sample of groups is used for both models, for the baseline Dummy and for all tasks.

    Args:
        tasks: errors by name of the task. Each task must have the errors of both models.
        a, b: names of the two models, such as `tiny (linear)`.
        seed: seed of the bootstrap.
        random: True if each tile was assigned to a split separately.

    Raises:
        ValueError: the MAE of the baseline Dummy (which predicts the median) is 0 in all tasks.
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
    return Comparison(a, b, tuple(names), score(tasks, a), score(tasks, b), interval, random)


def relative_errors(tasks: Mapping[str, TaskErrors], model: str) -> dict[str, float]:
    """Returns the MAE of a model divided by that of Dummy (predicts the median), by task in alphabetical order.

    Tasks in which Dummy makes no error are left out.
    """
    counted = {name: task for name, task in sorted(tasks.items()) if task.dummy.sum() > 0}
    return {name: float(task.models[model].mean() / task.dummy.mean()) for name, task in counted.items()}


def score(tasks: Mapping[str, TaskErrors], model: str) -> float:
    """Returns the score of a model: its MAE divided by that of Dummy (predicts the median), averaged over tasks."""
    return float(np.mean(list(relative_errors(tasks, model).values())))


def compare_all(
    tasks: Mapping[str, Sequence[TaskErrors]], models: Sequence[str], random: bool = False
) -> list[Comparison]:
    """Compares all pairs of models that can be compared, on the tasks on which both were tested on the same tiles.

    Two models can be compared if they have the same prediction head. Dummy, language models and models that were
    trained on the labels have no head, so each of them is compared with all other models. If a language model did not
    answer for some tiles, its comparisons leave out these tiles.

    Args:
        tasks: errors of the probes of each task, oldest probe first. If several probes tested a model, the errors
            of the newest are used.
        models: names of the models, such as `tiny (linear)`, in the order of the report.
        random: True if each tile was assigned to a split separately.

    Returns:
        One comparison for each pair, in the order of `models`.
    """
    made = []
    for place, a in enumerate(models):
        for b in models[place + 1 :]:
            shared = shared_errors(tasks, a, b) if _comparable(a, b) else {}
            if any(task.dummy.sum() > 0 for task in shared.values()):
                made.append(compare(shared, a, b, random=random))
    return made


def shared_errors(tasks: Mapping[str, Sequence[TaskErrors]], a: str, b: str) -> dict[str, TaskErrors]:
    """Returns the errors of two models by task, on the tiles for which both have a prediction.

    Leaves out tasks on which the two models were not tested on the same tiles and folds.

    Args:
        tasks: errors of the probes of each task, oldest probe first. If several probes tested a model, the errors
            of the newest are used.
        a, b: names of the two models, such as `tiny (linear)`.
    """
    found: dict[str, TaskErrors] = {}
    for name, probes in tasks.items():
        newest = {model: errors for errors in probes for model in errors.models if model in (a, b)}
        if len(newest) == 2 and newest[a].tiles == newest[b].tiles:
            joined = _joined(newest[a], newest[b], a, b)
            if len(joined.groups):
                found[name] = joined
    return found


def _comparable(a: str, b: str) -> bool:
    """Returns True if two models, such as `tiny (linear)`, can be compared.

    They must have the same head, unless one of them is Dummy, a language model, or a model that was trained on labels.
    """
    if DUMMY_ROW in (a, b):
        return True
    heads = {name.rpartition(" (")[2].removesuffix(")") for name in (a, b)}
    return len(heads) == 1 or bool(heads & {SUPERVISED_HEAD, ZERO_SHOT})


def _joined(one: TaskErrors, other: TaskErrors, a: str, b: str) -> TaskErrors:
    """Returns the errors of two models, on only the tiles for which both have a prediction."""
    known = np.isfinite(one.models[a]) & np.isfinite(other.models[b])
    both = {a: one.models[a][known], b: other.models[b][known]}
    return TaskErrors(one.tiles, one.groups[known], one.dummy[known], both)
