"""Computes the scores of the trials of a sweep from the probes of their models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.stages.probes import REPORT_FILE
from geojepa_cli.stages.report_probes import read_probe
from geojepa_cli.stages.sweep_jobs import Done
from geojepa_cli.stages.sweep_plan import SweepPlan
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.trials import Trial
    from geojepa_cli.evaluate.comparison import TaskErrors
    from geojepa_cli.evaluate.sweep_scores import TrialScores

BASELINE = "tagpool-counts"  # TagPool with the pooling and the sketch of the presets
Read = tuple[dict[str, "TaskErrors"], list[str]]  # errors by task, and the protocol of each probe


def baseline_scores(plan: SweepPlan, probes: Sequence[Sequence[Artifact]]) -> TrialScores:
    """Returns the scores of the baseline.

    Args:
        plan: the sweep.
        probes: for each fold, the `probes/` artifacts of the baseline, one for each task.

    Raises:
        DataError: the baseline Dummy (predicts the median) makes no error in any task.
    """
    from geojepa_cli.evaluate.sweep_scores import TrialScores

    errors, protocols = _read_model(plan, probes)
    if not any(task.dummy.sum() > 0 for task in errors.values()):
        message = "the baseline Dummy (predicts the median) makes no error in any task, so there is nothing to compare"
        raise DataError(message, hints.run("build-tasks"))
    return TrialScores(BASELINE, errors=[errors], protocols=protocols, baseline=True)


def trial_scores(workspace: Workspace, plan: SweepPlan, trial: Trial, done: Sequence[Done]) -> TrialScores:
    """Returns the scores of a trial, from the probes of its models.

    Args:
        workspace: workspace with the artifacts.
        plan: the sweep.
        trial: the trial.
        done: results of the jobs of the trial, in the order of seeds and, for each seed, of folds. If a job failed, the
            trial has no scores.
    """
    from geojepa_cli.evaluate.sweep_scores import TrialScores

    models = [workspace.find("models", one["model"]) for one in done if one["model"]]
    refs, cost = [model.ref for model in models], _cost(models)
    reasons = list(dict.fromkeys(one["error"] for one in done if one["error"]))
    if reasons:
        return TrialScores(trial.name, trial.settings, cost=cost, models=refs, error="; ".join(reasons))
    per_seed, errors, protocols = len(plan.folds), [], []
    for first in range(0, len(done), per_seed):
        probes = [[workspace.find("probes", ref) for ref in one["probes"]] for one in done[first : first + per_seed]]
        found, names = _read_model(plan, probes)
        errors.append(found)
        protocols += names
    return TrialScores(trial.name, trial.settings, errors, protocols, cost, refs)


def is_random(probe: Artifact) -> bool:
    """Returns True if a probe has a random split. Its scores are too good: test tiles are next to training tiles."""
    return bool(probe.read_json(REPORT_FILE).get("random"))


def _read_model(plan: SweepPlan, probes: Sequence[Sequence[Artifact]]) -> Read:
    """Reads the errors of the models of one trial and seed, which were tested on different folds.

    Args:
        plan: the sweep.
        probes: for each fold, the `probes/` artifacts of all tasks.

    Returns:
        A dict from the name of each task to the errors in all folds, and the protocol of each probe.
    """
    from geojepa_cli.evaluate.sweep_scores import join_folds

    parts: dict[str, list[TaskErrors]] = {}
    protocols = []
    for fold in probes:
        for probe in fold:
            content, errors = read_probe(probe)
            label, names = _first_model(content)
            parts.setdefault(content["task"], []).append(_by_head(errors, label, plan.spec.heads))
            protocols += names
    return {task: join_folds(one) for task, one in parts.items()}, protocols


def _first_model(content: dict[str, Any]) -> tuple[str, list[str]]:
    """Returns the name of the first model after Dummy in the scores of a probe, and the protocols of its scores."""
    from geojepa_cli.evaluate.predictions import DUMMY

    label = next(score["model"] for score in content["scores"] if score["model"] != DUMMY)
    return label, [score["protocol"] for score in content["scores"] if score["model"] == label]


def _by_head(errors: TaskErrors, label: str, heads: Sequence[str]) -> TaskErrors:
    from geojepa_cli.evaluate.comparison import TaskErrors

    return TaskErrors(
        errors.tiles, errors.groups, errors.dummy, {head: errors.models[f"{label} ({head})"] for head in heads}
    )


def _cost(models: Sequence[Artifact]) -> dict[str, float]:
    """Returns the mean cost of training a model: `steps`, `tokens`, `training_s` and `parameters`."""
    found: dict[str, list[float]] = {}
    for model in models:
        counts = model.counts
        found.setdefault("steps", []).append(counts["steps"])
        found.setdefault("tokens", []).append(counts["tokens_seen"])
        found.setdefault("parameters", []).append(counts["parameters"])
        seconds = model.timing.get("training_s")
        if isinstance(seconds, int | float):
            found.setdefault("training_s", []).append(seconds)
    return {name: round(sum(one) / len(one), 1) for name, one in found.items()}
