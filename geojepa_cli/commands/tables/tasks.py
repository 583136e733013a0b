"""Tables of `build-tasks`: tasks, labels by split, statistics of tiles, and dropped tiles and entities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from geojepa_cli import console

TaskReport = dict[str, Any]
Made = list[tuple[str, TaskReport]]  # region and report of each task artifact
FEW = 3
COMMONEST = 10
NONE = "–"


def print_tasks(made: Made) -> None:
    """Prints all tables. The first table has one row for each region and task. The other tables are sums over regions.

    Args:
        made: for each built task, the name of the region and the content of `report.json`.
    """
    by_task: dict[str, list[TaskReport]] = {}
    for _, report in made:
        by_task.setdefault(report["task"], []).append(report)
    _print_tasks(made)
    for task, reports in by_task.items():
        _print_labels(task, reports)
    _print_folds(by_task)
    _print_leakage(by_task)
    _print_entities(by_task)
    _print_tags(by_task)
    _print_dropped(by_task)
    for task, reports in by_task.items():
        _print_values(task, reports)
        _print_label_file(task, reports)
    if any(report["split"]["by"] == "random" for _, report in made):
        from geojepa_cli.tasks.splits import RANDOM_SPLIT

        console.print_line(RANDOM_SPLIT)


def _print_tasks(made: Made) -> None:
    rows = []
    for region, report in made:
        tiles, splits = report["tiles"], report["splits"]
        groups = "/".join(str(part["groups"]) for part in splits.values())
        by_split = "/".join(str(part["tiles"]) for part in splits.values())
        counts = [f"{tiles['eligible']:,}", f"{tiles['kept']:,}", by_split, groups]
        rows.append([region, report["task"], *counts, *strongest(report)])
    split = made[0][1]["split"]
    title = "tasks" + (" (RANDOM SPLIT)" if split["by"] == "random" else "")
    parts = "/".join(made[0][1]["splits"])
    columns = ["region", "task", "tiles", "kept", parts, "groups", "most informative visible tag", ""]
    caption = (
        "kept: tiles after some tiles with label 0 were removed (thinning); groups: zoom-14 tiles that contain kept "
        "tiles; most informative visible tag: of the tags that the mask leaves visible, the tag that gives most "
        "information about the label"
    )
    console.table(title, columns, rows, caption=caption)


def strongest(report: TaskReport) -> tuple[str, str]:
    """Returns the most informative tag that the task's mask does not hide, and its score.

    This is the tag that gives the most information about the label.

    Args:
        report: content of a task's `report.json`.
    """
    tags = report["strongest"]["tags"]
    if not tags:
        return NONE, NONE
    measure = {"auroc": "AUROC", "spearman": "ρ"}[report["strongest"]["measure"]]
    return tags[0]["tag"], f"{measure} {tags[0]['score']:.2f} ({tags[0]['feature']})"


def _print_labels(task: str, reports: Sequence[TaskReport]) -> None:
    """Prints the number of tiles for each label, with one column per split. A task with folds has a single column."""
    from geojepa_cli.tasks.statistics import add_histograms

    if "folds" in reports[0]:
        totals = {"tiles": add_histograms([fold["histogram"] for report in reports for fold in report["folds"]])}
    else:
        parts = [{**report["splits"], "test_unthinned": report["test_unthinned"]} for report in reports]
        totals = {name: add_histograms([part[name]["histogram"] for part in parts]) for name in parts[0]}
    unit = reports[0]["unit"]
    _print_histogram(f"{task}: tiles by label" + (f" ({unit})" if unit else ""), "label", totals)


def _print_folds(by_task: dict[str, list[TaskReport]]) -> None:
    """Prints, for each fold and task, the number of tiles, and the number of zoom-14 tiles that contain these tiles."""
    tasks = {task: reports for task, reports in by_task.items() if "folds" in reports[0]}
    if not tasks:
        return
    rows = []
    for number in range(max(len(reports[0]["folds"]) for reports in tasks.values())):
        folds = [[report["folds"][number] for report in reports] for reports in tasks.values()]
        rows.append(
            [number, *(" / ".join(f"{sum(f[key] for f in fold):,}" for key in ("tiles", "groups")) for fold in folds)]
        )
    console.table("folds", ["fold", *tasks], rows, caption="tiles / zoom-14 groups")


def _print_leakage(by_task: dict[str, list[TaskReport]]) -> None:
    rows = []
    for task, reports in by_task.items():
        for kind in reports[0]["leakage"]["splits"]:
            found = [report["leakage"]["splits"][kind] for report in reports]
            test, shared = (sum(f[name] for f in found) for name in ("test_tokens", "shared_tokens"))
            tags: Counter[str] = Counter()
            for one in found:
                tags.update(one["tags"])
            used = "used" if kind == reports[0]["leakage"]["used"] else ""
            most = ", ".join(f"{tag} {count:,}" for tag, count in tags.most_common(FEW))
            entities = sum(f["shared_entities"] for f in found)
            share = f"{shared / test:.1%}" if test else NONE
            rows.append([task, kind, used, f"{test:,}", share, f"{entities:,}", most or NONE])
    columns = [
        "task",
        "split",
        "",
        "entities in test tiles",
        "seen",
        "shared elements",
        "most common tags of shared elements",
    ]
    caption = (
        "seen: share of the entities in test tiles whose OSM element is also in a train or validation tile (shared); "
        "used: the split of this task; other splits are listed for comparison"
    )
    console.table("leakage: OSM elements in both train and test tiles", columns, rows, caption=caption)


def _print_entities(by_task: dict[str, list[TaskReport]]) -> None:
    from geojepa_cli.tasks.statistics import add_histograms

    per_tile = {
        task: add_histograms([report["statistics"]["entities_per_tile"]["histogram"] for report in reports])
        for task, reports in by_task.items()
    }
    _print_histogram("tiles by number of entities", "entities", per_tile)


def _print_tags(by_task: dict[str, list[TaskReport]]) -> None:
    task, reports = max(by_task.items(), key=lambda item: sum(report["tiles"]["eligible"] for report in item[1]))
    entities: Counter[str] = Counter()
    tiles: Counter[str] = Counter()
    for report in reports:
        for entry in report["statistics"]["tags"]:
            entities[entry["tag"]] += entry["entities"]
            tiles[entry["tag"]] += entry["tiles"]
    rows = [[tag, f"{count:,}", f"{tiles[tag]:,}"] for tag, count in entities.most_common(COMMONEST)]
    console.table(f"most common tags (tiles of {task})", ["tag", "entities", "tiles"], rows)


def _print_dropped(by_task: dict[str, list[TaskReport]]) -> None:
    """Prints the numbers of tiles and entities that filters or the mask of a task removed, with one row per reason."""
    totals = {
        task: sum((Counter(report["views"]["masked"]) for report in reports), Counter())
        for task, reports in by_task.items()
    }
    for task, reports in by_task.items():
        totals[task]["label-0 tiles removed by thinning"] += sum(
            r["tiles"]["eligible"] - r["tiles"]["kept"] for r in reports
        )
    reasons = dict.fromkeys(reason for total in totals.values() for reason in total)
    tiles_first = sorted(reasons, key=lambda reason: "tiles" not in reason)
    rows = [[reason, *(f"{totals[task][reason]:,}" for task in totals)] for reason in tiles_first]
    console.table("dropped", ["reason", *totals], rows)


def _print_values(task: str, reports: Sequence[TaskReport]) -> None:
    """Prints the number of OSM elements by notation of their tag values, and the values that could not be parsed.

    This applies to tasks that read numbers from tag values. For example, the `maxspeed` values `50` and `DE:zone30`
    have the notations `number` and `zone`.
    """
    read: Counter[str] = Counter()
    unread: Counter[str] = Counter()
    for report in reports:
        read.update(report["values"]["read"])
        unread.update(report["values"]["unreadable"])
    if not read:
        return
    console.print_line(
        f"{task}: OSM elements by notation of the value: "
        + ", ".join(f"{form} {n:,}" for form, n in read.most_common())
    )
    if unread:
        shown = ", ".join(f"`{value}` ({count:,})" for value, count in unread.most_common(20))
        more = f" and {len(unread) - 20:,} more in report.json" if len(unread) > 20 else ""
        console.print_line(f"{task}: values that could not be parsed (number of elements): {shown}{more}")


def _print_label_file(task: str, reports: Sequence[TaskReport]) -> None:
    """Prints where labels from a file come from: the column, how values were combined, and the numbers of rows."""
    for report in (report for report in reports if "label_file" in report):
        found = dict(report["label_file"])
        column, reduce, kind = (found.pop(name) for name in ("column", "reduce", "kind"))
        how = f"{reduce} of {kind}" if reduce else kind
        counts = ", ".join(f"{count:,} {what}" for what, count in found.items())
        console.print_line(f"{task}: labels from the column `{column}` of a file ({how}): {counts}")


def _print_histogram(title: str, what: str, columns: dict[str, dict[float | None, int]]) -> None:
    """Prints one table for several histograms that have the same bins, with one row per bin. Omits empty bins.

    Args:
        title: title of the table.
        what: header of the first column: the quantity that is divided into bins, such as `label`.
        columns: histograms by column header. A histogram is a dict from the upper bound of a bin to its number of
            tiles; the last bin has the bound None.
    """
    bounds = list(next(iter(columns.values())))
    rows = []
    for index, bound in enumerate(bounds):
        counts = [column[bound] for column in columns.values()]
        if any(counts):
            text = f"over {bounds[index - 1]:,g}" if bound is None else f"up to {bound:,g}"
            rows.append([text, *(f"{count:,}" for count in counts)])
    console.table(title, [what, *columns], rows)
