"""Finds the command that rebuilds a `tasks/` artifact from its manifest, which may be damaged or edited."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.hints import Hint
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import input_names

DEFINITION = "task.yaml"
ANALYSIS_SUFFIX = ".analysis"


def rebuild_task(remains: Remains) -> Hint:
    """Returns the `build-tasks` command, with all required options, that rebuilds a task or the analysis of a task."""
    base = remains.name.removesuffix(ANALYSIS_SUFFIX)
    region, _, task = base.rpartition(".")
    regions = input_names(remains.inputs, "processed") or [region or base]
    option = "analyze" if base != remains.name else "task"
    given: dict[str, hints.Value] = {"region": regions}
    if region:
        given[option] = _task_or_file(task, remains)
    return hints.run("build-tasks", **given, **_options(remains.params))


def _task_or_file(task: str, remains: Remains) -> str | Path:
    """Returns the value for the option `--task`: the name of a task, or the path of a YAML file.

    A task that comes with geojepa is found by its name. Any other task is defined by a YAML file. This is the file in
    the artifact or, if that file is missing or damaged, a file in the current folder with the name of the task.
    """
    from geojepa_cli.tasks.spec import packed_tasks

    copy = remains.path / DEFINITION if remains.path is not None else None
    if task in packed_tasks():
        return task
    if copy is not None and copy.is_file() and file_sha256(copy) == remains.files.get(DEFINITION):
        return copy
    return f"{task}.yaml"


def _options(params: Mapping[str, Any]) -> dict[str, hints.Value]:
    split = params.get("split")
    split = split if isinstance(split, Mapping) else {}
    box = params.get("bbox")
    values: dict[str, Any] = {
        "seed": params.get("seed") or None,
        "split": split.get("by") if split.get("by") != "group" else None,
        "folds": split.get("folds"),
        "buffer": split.get("buffer") is True,
        "min_entities": _unless(params.get("min_entities"), DEFAULT_LIMITS.low),
        "max_entities": _unless(params.get("max_entities"), DEFAULT_LIMITS.high),
        "bbox": ",".join(map(str, box)) if isinstance(box, list) else None,
        "with_imagery": params.get("with_imagery") is True,
    }
    return {name: value for name, value in values.items() if isinstance(value, str | int)}


def _unless(value: Any, default: int) -> Any:
    return None if value == default else value
