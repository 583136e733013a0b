"""Checks of built tasks: empty splits, rules without a match, masks that hide everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geojepa_cli import console
from geojepa_cli.errors import DataError
from geojepa_cli.stages.tasks import Report, Reports

if TYPE_CHECKING:
    pass


def check_splits(reports: Reports, allow_empty: bool) -> None:
    """Says where splits are too small, over all regions of a task together.

    Raises:
        DataError: a split or a fold of a task is empty, and that is not allowed.
    """
    from geojepa_cli.tasks.splits import FEW_TEST_GROUPS, RANDOM_SPLIT, empty_parts

    few: dict[int, list[str]] = {}
    for task, made in reports.items():
        groups = groups_by_part(made)
        empty = empty_parts(groups)
        if empty and not allow_empty:
            told = f"no tile of task `{task}` falls into {' or '.join(empty)}: {_too_small(made[0])}"
            raise DataError(told, hint="--allow-empty")
        if empty:
            console.warn(f"no tile of task `{task}` falls into {' or '.join(empty)}")
        tested = sum(groups.values()) if "folds" in made[0] else groups["test"]
        if tested < FEW_TEST_GROUPS:
            few.setdefault(tested, []).append(task)
    if any(made[0]["split"]["by"] == "random" for made in reports.values()):
        console.warn(RANDOM_SPLIT)
    elif few:
        counts = "; ".join(f"{', '.join(tasks)}: {count}" for count, tasks in sorted(few.items()))
        console.warn(
            f"fewer than {FEW_TEST_GROUPS} test groups (zoom-14 blocks), so figures on the test split say little; "
            f"cross-validate over groups instead ({counts})"
        )


def _too_small(report: Report) -> str:
    """What helps where a part is empty, beside going on."""
    if "folds" in report:
        return "there are too few groups for that many --folds"
    if report["split"]["buffer"]:
        return "there are too few groups for a --buffer; another region beside it may help"
    return "there are too few groups; `probe` cross-validates over groups where that is allowed"


def warn_of_nothing(reports: Reports) -> None:
    """Warns of rules that match nothing and of masks that leave nothing, over all regions of a task together."""
    for task, made in reports.items():
        tiles = {key: sum(report["tiles"][key] for report in made) for key in ("eligible", "label_0")}
        if tiles["eligible"] and tiles["eligible"] == tiles["label_0"]:
            console.warn(f"every tile of task `{task}` has the label 0: no entity here matches its `label.tags`")
        emptied = sum(report["mask"]["tiles emptied"] for report in made)
        if tiles["eligible"] and emptied == tiles["eligible"]:
            console.warn(
                f"the mask of task `{task}` hides every entity of every tile: nothing is left to tell the label"
            )
        elif emptied:
            console.warn(f"the mask of task `{task}` hides every entity of {emptied:,} of {tiles['eligible']:,} tiles")


def groups_by_part(made: Sequence[Report]) -> dict[str, int]:
    """Groups with a kept tile by split, or by fold; one that two regions share counts twice."""
    parts = [
        {f"fold {i}": part for i, part in enumerate(report["folds"])} if "folds" in report else report["splits"]
        for report in made
    ]
    return {name: sum(int(part[name]["groups"]) for part in parts) for name in parts[0]}
