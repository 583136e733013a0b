"""Warnings about tasks: empty splits, label rules that match no entity, and masks that hide all entities of a tile.

The mask of a task hides the tags and entities that reveal the label of the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geojepa_cli import console

TaskReport = Mapping[str, Any]  # a task's `report.json`
TaskReports = Mapping[str, Sequence[TaskReport]]  # reports of each region, by task


def warn_of_small_splits(reports: TaskReports) -> None:
    """Warns about tasks with empty splits or folds, or with few test groups (zoom-14 tiles) in all regions together.

    Most of these tasks can still be probed. If the test split is too small, `probe` cross-validates over groups
    instead. Also warns about tasks that are too small for this, which `probe` refuses.
    """
    from geojepa_cli.tasks.splits import FEW_TEST_GROUPS, RANDOM_SPLIT, empty_parts, too_few

    unreliable: dict[int, list[str]] = {}
    empty: dict[str, list[str]] = {}
    for task, by_region in reports.items():
        groups = groups_by_part(by_region)
        if not any(groups.values()):
            console.warn(f"no tile of task `{task}` has a label, so `probe` cannot use this task")
            continue
        kept = sum(report["tiles"]["kept"] for report in by_region)
        if few := too_few(kept, sum(groups.values()), by_region[0]["split"]["by"] == "random"):
            console.warn(
                f"`probe` cannot use the task `{task}`: it has {few}; label more tiles, or build it with more regions"
            )
            continue
        if parts := empty_parts(groups):
            empty.setdefault(f"{_listed(parts)}: {_reason(by_region[0])}", []).append(f"`{task}`")
        tested = sum(groups.values()) if "folds" in by_region[0] else groups["test"]
        if tested < FEW_TEST_GROUPS:
            unreliable.setdefault(tested, []).append(task)
    for where, tasks in empty.items():
        console.warn(f"no tile of {'tasks' if len(tasks) > 1 else 'task'} {', '.join(tasks)} is in {where}")
    if any(by_region[0]["split"]["by"] == "random" for by_region in reports.values()):
        console.warn(RANDOM_SPLIT)
    elif unreliable:
        counts = "; ".join(f"{', '.join(tasks)}: {count}" for count, tasks in sorted(unreliable.items()))
        console.warn(
            f"some tasks have too few test groups (zoom-14 tiles used for testing) for reliable scores ({counts}; "
            f"expected at least {FEW_TEST_GROUPS}); `probe` cross-validates these tasks over all groups instead"
        )


def warn_of_empty(reports: TaskReports) -> None:
    """Warns about tasks whose label rules match no entity, and about masks that hide all entities of a tile.

    The mask of a task hides the tags and entities that reveal the label of the task.
    """
    for task, by_region in reports.items():
        tiles = {key: sum(report["tiles"][key] for report in by_region) for key in ("eligible", "label_0")}
        if tiles["eligible"] and tiles["eligible"] == tiles["label_0"]:
            from_file = "label_file" in by_region[0]
            reason = "" if from_file else ", because no entity matches `label.tags` of the task"
            console.warn(f"every tile of task `{task}` has the label 0{reason}")
        emptied = sum(report["mask"]["tiles emptied"] for report in by_region)
        if tiles["eligible"] and emptied == tiles["eligible"]:
            console.warn(
                f"the mask of task `{task}` (`mask` in its definition) hides all entities of all tiles, so with "
                "`--masked`, models get no map data"
            )
        elif emptied:
            of = console.counted(tiles["eligible"], "tile")
            console.warn(
                f"the mask of task `{task}` (`mask` in its definition) hides all entities of {emptied:,} of {of}, so "
                "with `--masked`, models get no map data for these tiles"
            )


def groups_by_part(reports: Sequence[TaskReport]) -> dict[str, int]:
    """Returns the number of groups (zoom-14 tiles) in each split or, if the task has folds, in each fold.

    A group that has tiles in two regions is counted twice.

    Args:
        reports: content of `report.json` of the same task in each region.
    """
    parts = [
        {f"fold {i}": part for i, part in enumerate(report["folds"])} if "folds" in report else report["splits"]
        for report in reports
    ]
    return {name: sum(int(part[name]["groups"]) for part in parts) for name in parts[0]}


def _listed(parts: Sequence[str]) -> str:
    return " or ".join(parts) if len(parts) <= 4 else f"{len(parts)} parts ({', '.join(parts[:3])}, …)"


def _reason(report: TaskReport) -> str:
    if "folds" in report:
        return "there are too few groups for this value of `--folds`; `probe` skips empty folds"
    if report["split"]["buffer"]:
        return "there are too few groups for `--buffer`; build the task with more regions"
    return "there are too few groups; `probe` cross-validates over groups instead"
