"""Finds the command that rebuilds a `tasks/` artifact from its manifest, which may be damaged or edited."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import nearest
from geojepa_cli.hints import Hint
from geojepa_cli.stages.joined_images import with_same_images
from geojepa_cli.stages.rebuild import box, input_refs, limit_options, number, text, texts
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import Remains

DEFINITION = "task.yaml"
ANALYSIS_SUFFIX = ".analysis"


def rebuild_task(remains: Remains) -> Hint:
    """Returns the `build-tasks` command, with all required options, that rebuilds a task or the analysis of a task."""
    base = remains.name.removesuffix(ANALYSIS_SUFFIX)
    region, _, task = base.rpartition(".")
    regions = input_refs(remains, "processed") or [region or base]
    option = "analyze" if base != remains.name else "task"
    given: dict[str, hints.Value] = {"region": regions}
    if (labels := _file_labels(remains)) is not None:
        given |= {"labels": "FILE", "label": labels["column"], "name": task}
        given |= {"reduce": text(labels.get("reduce")), "crs": text(labels.get("crs"))}
        given["attribution"] = texts(remains.params.get("attribution"))
    elif region:
        given[option] = _task_or_file(task, remains)
    return with_same_images(remains, hints.run("build-tasks", **given, **_options(remains.params)))


def _file_labels(remains: Remains) -> Mapping[str, Any] | None:
    """Returns the definition of labels from a file (see `FileLabels`); None if the labels are from the map."""
    task = remains.params.get("task")
    label = task.get("label") if isinstance(task, Mapping) else None
    found = label.get("file") if isinstance(label, Mapping) else None
    return found if isinstance(found, Mapping) and isinstance(found.get("column"), str) else None


def _task_or_file(task: str, remains: Remains) -> str | Path:
    """Returns the value for the option `--task`: the name of a task, or the path of a YAML file.

    A task that comes with geojepa is found by its name. Any other task is defined by a YAML file. This is the file in
    the artifact or, if that file is missing or damaged, a file in the current folder with the name of the task.
    """
    from geojepa_cli.tasks.spec import packed_tasks

    copy = remains.path / DEFINITION if remains.path is not None else None
    if task in packed_tasks():
        return task
    if copy is None and (close := nearest(task, packed_tasks())) is not None:
        return close
    if copy is not None and copy.is_file() and file_sha256(copy) == remains.files.get(DEFINITION):
        return copy
    return f"{task}.yaml"


def _options(params: Mapping[str, Any]) -> dict[str, hints.Value]:
    split = params.get("split")
    split = split if isinstance(split, Mapping) else {}
    values: dict[str, Any] = {
        "seed": number(params.get("seed")),
        "split": split.get("by") if split.get("by") != "group" else None,
        "folds": split.get("folds"),
        "buffer": split.get("buffer") is True,
        "bbox": box(params.get("bbox")),
        "with_imagery": params.get("with_imagery") is True,
    }
    return limit_options(params) | {name: value for name, value in values.items() if isinstance(value, str | int)}
