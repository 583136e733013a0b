"""Scores of the trials of a sweep: means over tasks and seeds, and paired differences between trials.

The scores are computed from the errors of the probes of each trial.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import stdev
from typing import Any

import numpy as np

from geojepa_cli.evaluate.comparison import Comparison, TaskErrors, relative_errors, score
from geojepa_cli.evaluate.protocols import weakest
from geojepa_cli.metrics.bootstrap import bootstrap_difference_of_runs

MIN_SEEDS = 3  # of a trial; with fewer, its spread over seeds is unknown
Tasks = Mapping[str, TaskErrors]  # by name of the task


@dataclass(frozen=True)
class TrialScores:
    """Errors and cost of a trial, which has a model for each seed and fold.

    Attributes:
        name: name of the trial, or of a baseline.
        settings: settings in which trials differ.
        errors: list with one dict for each seed: errors on the test tiles by name of the task. In these `TaskErrors`,
            the keys of `models` are names of heads. The list is empty if the trial failed.
        protocols: protocol of each probe.
        cost: means over the models: `steps`, `tokens`, `training_s`, `parameters`. Empty for a baseline.
        models: references of the models.
        error: reason why the trial failed, or an empty string.
        baseline: True for a baseline, which has no rank.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    errors: Sequence[Tasks] = ()
    protocols: Sequence[str] = ()
    cost: Mapping[str, float] = field(default_factory=dict)
    models: Sequence[str] = ()
    error: str = ""
    baseline: bool = False


def join_folds(parts: Sequence[TaskErrors]) -> TaskErrors:
    """Joins the errors of models that were tested on different folds of a task."""
    if len(parts) == 1:
        return parts[0]
    tiles = hashlib.sha256("\n".join(part.tiles for part in parts).encode()).hexdigest()
    models = {name: np.concatenate([part.models[name] for part in parts]) for name in parts[0].models}
    groups, dummy = (np.concatenate([getattr(part, name) for part in parts]) for name in ("groups", "dummy"))
    return TaskErrors(tiles, groups, dummy, models)


def comparable(one: Tasks, other: Tasks) -> bool:
    """Returns True if two models were tested on the same tiles of the same tasks."""
    return one.keys() == other.keys() and all(one[name].tiles == other[name].tiles for name in one)


def compare_trials(one: TrialScores, other: TrialScores, head: str, random: bool = False) -> Comparison:
    """Compares the errors of two trials on the same tiles. The errors of each are averaged over its seeds.

    The confidence interval is from a bootstrap over groups (zoom-14 tiles) and, for each trial, over its seeds.

    Args:
        one, other: trials with errors.
        head: name of the prediction head.
        random: True if each tile was assigned to a split separately.
    """
    names = sorted(one.errors[0])
    tasks = [one.errors[0][name] for name in names]
    a, b = ([np.stack([run[name].models[head] for run in trial.errors]) for name in names] for trial in (one, other))
    interval = bootstrap_difference_of_runs(a, b, [task.dummy for task in tasks], [task.groups for task in tasks])
    return Comparison(one.name, other.name, tuple(names), _mean(one, head), _mean(other, head), interval, random)


def rank_trials(trials: Sequence[TrialScores], reference: str, head: str, random: bool = False) -> list[dict[str, Any]]:
    """Returns a row for each trial: the best first, then baselines, then trials that failed.

    Args:
        trials: trials and baselines.
        reference: name of the trial with which the others are compared.
        head: name of the prediction head.
        random: True if each tile was assigned to a split separately.

    Returns:
        Dicts for JSON. `best` is true for the first trial if it is clearly better than the second: both have at least
        `MIN_SEEDS` seeds, and the confidence interval of their paired difference does not contain 0.
    """
    tested = sorted(
        (one for one in trials if one.errors and not one.baseline), key=lambda one: (_mean(one, head), one.name)
    )
    against = next((one for one in trials if one.name == reference and one.errors), None)
    clear = len(tested) > 1 and _difference(tested[0], tested[1], head, random)[2] == "better"
    baselines = [one for one in trials if one.baseline]
    failed = [one for one in trials if not one.errors]
    rows = []
    for rank, trial in enumerate([*tested, *baselines, *failed], start=1):
        rows.append(
            {
                "rank": rank if rank <= len(tested) else None,
                "trial": trial.name,
                "best": clear and rank == 1,
                "settings": {key: list(one) if isinstance(one, tuple) else one for key, one in trial.settings.items()},
                **_figures(trial, against, head, random),
                **{name: trial.cost.get(name) for name in ("steps", "tokens", "training_s", "parameters")},
                "models": list(trial.models),
                "error": trial.error,
            }
        )
    return rows


def _figures(trial: TrialScores, against: TrialScores | None, head: str, random: bool) -> dict[str, Any]:
    """Returns the scores of a trial, and the paired difference between the trial and the reference trial `against`."""
    names = ("score", "spread", "seeds", "tasks", "difference", "groups", "verdict", "protocol")
    found: dict[str, Any] = dict.fromkeys(names)
    if not trial.errors:
        return found
    seeds = [score(tasks, head) for tasks in trial.errors]
    found["score"], found["seeds"] = _round(_mean(trial, head)), [_round(one) for one in seeds]
    found["spread"] = _round(stdev(seeds)) if len(seeds) > 1 else None
    found["tasks"] = {name: _round(one) for name, one in relative_errors(_mean_over_seeds(trial.errors), head).items()}
    found["protocol"] = weakest(list(trial.protocols))
    if against is not None:
        found["difference"], found["groups"], found["verdict"] = _difference(trial, against, head, random)
    return found


def _difference(trial: TrialScores, against: TrialScores, head: str, random: bool) -> tuple[dict[str, float], int, str]:
    """Returns the difference of two trials with its interval, the number of groups, and the verdict."""
    compared = compare_trials(trial, against, head, random)
    if trial is against:
        return dict.fromkeys(("value", "low", "high"), 0.0), compared.difference.groups, "reference"
    difference = {name: _round(getattr(compared.difference, name)) for name in ("value", "low", "high")}
    return difference, compared.difference.groups, _verdict(compared, trial, against)


def _verdict(compared: Comparison, one: TrialScores, other: TrialScores) -> str:
    """Returns `better` or `worse` if the first of two trials clearly is, otherwise a text that says why not."""
    words = {"a is better": "better", "b is better": "worse"}
    if compared.verdict not in words:
        return compared.verdict
    few = any(len(trial.errors) < MIN_SEEDS for trial in (one, other) if not trial.baseline)
    return f"no claim: fewer than {MIN_SEEDS} seeds" if few else words[compared.verdict]


def _mean(trial: TrialScores, head: str) -> float:
    return math.fsum(score(tasks, head) for tasks in trial.errors) / len(trial.errors)


def _mean_over_seeds(seeds: Sequence[Tasks]) -> dict[str, TaskErrors]:
    """Averages the absolute error of each tile over the seeds. All seeds were tested on the same tiles."""
    found = {}
    for name, first in seeds[0].items():
        models = {head: np.mean([tasks[name].models[head] for tasks in seeds], axis=0) for head in first.models}
        found[name] = TaskErrors(first.tiles, first.groups, first.dummy, models)
    return found


def _round(value: float) -> float:
    return round(value, 5)
