"""Warnings about built tasks: empty splits, rules without a match, masks that hide everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geojepa_cli import console

TaskReport = Mapping[str, Any]  # a task's `report.json`
TaskReports = Mapping[str, Sequence[TaskReport]]  # by task, one for each region


def warn_of_small_splits(reports: TaskReports) -> None:
    """Warns of empty splits and folds and of few test groups, over all regions of a task together.

    Tasks are built all the same: `probe` cross-validates over groups where the test split is too small.
    """
    from geojepa_cli.tasks.splits import FEW_TEST_GROUPS, RANDOM_SPLIT, empty_parts

    few: dict[int, list[str]] = {}
    empty: dict[str, list[str]] = {}
    for task, by_region in reports.items():
        groups = groups_by_part(by_region)
        if not any(groups.values()):
            console.warn(f"no tile of task `{task}` has a label: `probe` has nothing to test here")
            continue
        if parts := empty_parts(groups):
            empty.setdefault(f"{_listed(parts)}: {_reason(by_region[0])}", []).append(f"`{task}`")
        tested = sum(groups.values()) if "folds" in by_region[0] else groups["test"]
        if tested < FEW_TEST_GROUPS:
            few.setdefault(tested, []).append(task)
    for where, tasks in empty.items():
        console.warn(f"no tile of {'tasks' if len(tasks) > 1 else 'task'} {', '.join(tasks)} falls into {where}")
    if any(by_region[0]["split"]["by"] == "random" for by_region in reports.values()):
        console.warn(RANDOM_SPLIT)
    elif few:
        counts = "; ".join(f"{', '.join(tasks)}: {count}" for count, tasks in sorted(few.items()))
        console.warn(
            f"fewer than {FEW_TEST_GROUPS} test groups (zoom-14 blocks), so scores on the test split say little; "
            f"cross-validate over groups instead ({counts})"
        )


def warn_of_empty(reports: TaskReports) -> None:
    """Warns of rules that match nothing and of masks that leave nothing, over all regions of a task together."""
    for task, by_region in reports.items():
        tiles = {key: sum(report["tiles"][key] for report in by_region) for key in ("eligible", "label_0")}
        if tiles["eligible"] and tiles["eligible"] == tiles["label_0"]:
            console.warn(f"every tile of task `{task}` has the label 0: no entity here matches its `label.tags`")
        emptied = sum(report["mask"]["tiles emptied"] for report in by_region)
        if tiles["eligible"] and emptied == tiles["eligible"]:
            console.warn(f"the mask of task `{task}` hides every entity of every tile: models see nothing")
        elif emptied:
            console.warn(f"the mask of task `{task}` hides every entity of {emptied:,} of {tiles['eligible']:,} tiles")


def groups_by_part(reports: Sequence[TaskReport]) -> dict[str, int]:
    """Counts groups with a kept tile by split or, where the task has folds, by fold.

    A group that two regions share counts twice.
    """
    parts = [
        {f"fold {i}": part for i, part in enumerate(report["folds"])} if "folds" in report else report["splits"]
        for report in reports
    ]
    return {name: sum(int(part[name]["groups"]) for part in parts) for name in parts[0]}


def _listed(parts: Sequence[str]) -> str:
    return " or ".join(parts) if len(parts) <= 4 else f"{len(parts)} of the parts ({', '.join(parts[:3])}, …)"


def _reason(report: TaskReport) -> str:
    if "folds" in report:
        return "there are too few groups for that many --folds; `probe` skips empty folds"
    if report["split"]["buffer"]:
        return "there are too few groups for a --buffer; a region next to this one adds some"
    return "there are too few groups; `probe` cross-validates over groups"
