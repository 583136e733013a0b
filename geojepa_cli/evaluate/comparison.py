"""Whether one model beats another: paired, cross-validated over groups, over several tasks and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.evaluate.heads import predict_dummy, predict_head
from geojepa_cli.evaluate.probe import FOLDS, ProbeData, cross_validation_folds, label_range
from geojepa_cli.metrics.bootstrap import Interval, bootstrap_relative_difference

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TaskErrors:
    """Absolute errors of the kept tiles of one task, [m] each.

    Attributes:
        groups: of every tile.
        dummy: Dummy's.
        models: by model, the mean over its seeds.
        by_seed: by model, one array per seed.
    """

    groups: NDArray[np.int64]
    dummy: Floats
    models: dict[str, Floats]
    by_seed: dict[str, list[Floats]]


def cross_validated_errors(
    data: ProbeData,
    vectors: Mapping[str, Sequence[NDArray[np.float32]]],
    head: str = "linear",
    folds: int = FOLDS,
    repeats: int = 1,
    seed: int = 0,
) -> TaskErrors:
    """Errors on tiles that the head has not seen, for every model on the same folds.

    Args:
        data: the task.
        vectors: by model, one matrix [n, d] for each training seed.
        head: `linear` or `mlp`.
        folds: over groups.
        repeats: rounds of cross-validation with other folds, averaged.
        seed: of the folds.
    """
    dummy = np.zeros(len(data.labels))
    errors = {model: [np.zeros(len(data.labels)) for _ in matrices] for model, matrices in vectors.items()}
    for round_ in range(repeats):
        for fold in cross_validation_folds(data, folds, seed + round_):
            true, clamp = data.labels[fold.test], label_range(data, fold)
            dummy[fold.test] += np.abs(predict_dummy(data.labels, fold) - true) / repeats
            for model, matrices in vectors.items():
                for place, matrix in enumerate(matrices):
                    predicted = predict_head(head, matrix, data.labels, data.groups, fold, clamp, seed)
                    errors[model][place][fold.test] += np.abs(predicted - true) / repeats
    kept = data.kept
    by_seed = {model: [values[kept] for values in listed] for model, listed in errors.items()}
    models = {model: np.mean(listed, axis=0) for model, listed in by_seed.items()}
    return TaskErrors(data.groups[kept], dummy[kept], models, by_seed)


def compare(tasks: Mapping[str, TaskErrors], a: str, b: str, seed: int = 0) -> dict[str, Any]:
    """Mean over tasks of MAE / Dummy's for two models, and the paired interval of their difference (a − b).

    Returns:
        JSON values: `a`, `b` (the means), `difference` with its 95 % interval over groups, the same for each seed, and
        the relative errors by task. `better` is true where the whole interval lies below 0.
    """
    names = sorted(tasks)
    pooled = _difference([tasks[name] for name in names], [tasks[name].models for name in names], a, b, seed)
    seeds = range(len(next(iter(tasks.values())).by_seed[a]))
    each = []
    for number in seeds:
        models = [{model: tasks[name].by_seed[model][number] for model in (a, b)} for name in names]
        each.append(_plain(_difference([tasks[name] for name in names], models, a, b, seed)))
    by_task = {
        name: {model: float(tasks[name].models[model].mean() / tasks[name].dummy.mean()) for model in (a, b)}
        for name in names
        if tasks[name].dummy.sum() > 0
    }
    return {
        "a": {"model": a, "relative": float(np.mean([values[a] for values in by_task.values()]))},
        "b": {"model": b, "relative": float(np.mean([values[b] for values in by_task.values()]))},
        "difference": _plain(pooled),
        "by_seed": each,
        "by_task": by_task,
        "better": pooled.high < 0,
    }


def _difference(
    tasks: Sequence[TaskErrors], models: Sequence[Mapping[str, Floats]], a: str, b: str, seed: int
) -> Interval:
    return bootstrap_relative_difference(
        [errors[a] for errors in models],
        [errors[b] for errors in models],
        [task.dummy for task in tasks],
        [task.groups for task in tasks],
        seed=seed,
    )


def _plain(interval: Interval) -> dict[str, float | int]:
    return {"value": interval.value, "low": interval.low, "high": interval.high, "groups": interval.groups}
