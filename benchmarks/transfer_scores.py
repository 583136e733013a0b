"""Scores of `transfer.py`: means over tasks, paired differences, and gradient boosting on counts as a reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from geojepa_cli.config.heads import TWO_PART
from geojepa_cli.config.labels import FIRST_WEIGHTS
from geojepa_cli.evaluate.comparison import TaskErrors, compare, relative_errors, score
from geojepa_cli.evaluate.predictions import DUMMY

BOOSTED = "boosting on counts"  # name of gradient boosting on the logarithms of tag counts in tables of other heads


def with_boosting(
    by_task: Mapping[str, TaskErrors], boosted: Mapping[str, Mapping[str, TaskErrors]], head: str
) -> dict[str, TaskErrors]:
    """Adds the errors of gradient boosting on counts to the errors of a head, by task.

    In the table of a head that predicts in two parts, boosting predicts in two parts too.
    """
    two_part = TWO_PART.format("boosting")
    errors = boosted[two_part if head.endswith(TWO_PART.format("")) and two_part in boosted else "boosting"]
    return {
        task: TaskErrors(one.tiles, one.groups, one.dummy, {**one.models, BOOSTED: errors[task].models[BOOSTED]})
        for task, one in by_task.items()
    }


def scores(errors: Mapping[str, TaskErrors], models: Iterable[str], against: Sequence[str]) -> dict[str, Any]:
    """Returns the score of each model, by task and their mean, and paired differences from other models.

    The others are those in `against`, the first weights of the same variant, and Dummy. `differences` are of the mean
    over tasks, `by_task` in it of single tasks.
    """
    result: dict[str, Any] = {}
    known = {DUMMY, *models}
    for name in models:
        compared = dict.fromkeys([*against, f"{name} ({FIRST_WEIGHTS})", DUMMY])
        others = [other for other in compared if other in known and other != name]
        result[name] = {
            "score": score(errors, name),
            "by_task": relative_errors(errors, name),
            "differences": {other: _differences(errors, name, other) for other in others},
        }
    result["groups"] = len(set(np.concatenate([one.groups for one in errors.values()]).tolist()))
    return result


def _differences(errors: Mapping[str, TaskErrors], name: str, other: str) -> dict[str, Any]:
    by_task = {task: compare({task: one}, name, other).to_json()["difference"] for task, one in errors.items()}
    return {**compare(errors, name, other).to_json()["difference"], "by_task": by_task}
