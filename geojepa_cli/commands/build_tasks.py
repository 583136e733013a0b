"""`geojepa build-tasks`: labels, splits and masked views of a region. Nothing of the data is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.commands.limits import DEFAULT, Fewest, Limits, Most, check_some_left, limits_of
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.workspace import Artifact, Workspace

if TYPE_CHECKING:
    from geojepa_cli.tasks.build import RegionData
    from geojepa_cli.tasks.spec import TaskSpec

STAGE_VERSION = 1
Reports = dict[str, list[tuple[Artifact, dict[str, Any]]]]


def build_tasks(
    ctx: typer.Context,
    region: options.Regions = None,
    task: Annotated[
        Optional[list[str]],  # noqa: UP045 - Typer reads the annotation at run time
        typer.Option(help="A packed task, or a YAML file; give it again for several. Default: all five."),
    ] = None,
    seed: options.Seed = 0,
    min_entities: Fewest = None,
    max_entities: Most = None,
    need_splits: Annotated[
        bool, typer.Option("--need-splits", help="Fail where train, val or test would be empty.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Make labels, splits and masked views.

    Example: geojepa build-tasks --region state-college --task max_speed
    """
    limits = limits_of(min_entities, max_entities)
    workspace = options.workspace(ctx)
    specs = find_specs(task)
    reports: Reports = {spec.name: [] for spec in specs}
    for processed in workspace.regions("processed", region):
        artifacts = build_region(workspace, processed, specs, seed, limits)
        for artifact in artifacts:
            report = artifact.read_json("report.json")
            reports[report["task"]].append((artifact, report))
    check_groups(reports, need_splits)
    if json:
        made = [(artifact.ref, report) for spec in specs for artifact, report in reports[spec.name]]
        console.emit_json_of("build-tasks", made)
    else:
        say(reports)


def find_specs(tasks: list[str] | None) -> list[TaskSpec]:
    """The tasks named (or all packed ones), each read and checked before any work starts.

    Raises:
        UsageError: an invalid definition, or two of the same name.
    """
    from geojepa_cli.tasks.spec import find_task, load_task, packed_tasks

    packed = packed_tasks()
    wanted = list(dict.fromkeys(tasks or packed))
    specs = [find_task(name) for name in wanted]
    names = [spec.name for spec in specs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"two definitions of the task `{sorted(twice)[0]}`", hint="give one of them another `name`")
    for given, spec in zip(wanted, specs, strict=True):
        if given not in packed and spec.name in packed and spec != load_task(packed[spec.name]):
            console.warn(
                f"`{given}` is named like the packed task `{spec.name}`, and differs from it: commands with "
                f"--task {spec.name} take the one that was built last; give it another `name` to keep both"
            )
    return specs


def build_region(
    workspace: Workspace,
    processed: Artifact,
    specs: list[TaskSpec],
    seed: int = 0,
    limits: Limits = DEFAULT,
) -> list[Artifact]:
    """Publishes `tasks/<region>.<task>` for every task; the region is opened once, and only where there is work.

    Raises:
        DataError: no tile has a number of entities within the limits.
    """
    data: RegionData | None = None
    made, current = [], 0
    for spec in specs:
        params = {
            "task": spec.resolved(),
            "seed": seed,
            "min_entities": limits.low,
            "max_entities": limits.high,
        }
        name = f"{processed.name}.{spec.name}"
        with workspace.build("tasks", name, params, [processed], STAGE_VERSION) as build:
            if build.existing:
                made.append(build.existing)
                current += 1
                continue
            from geojepa_cli.tasks.build import RegionData, write_task

            if data is None:
                data = RegionData.open(processed.file("processed.h5"), processed.name, *limits)
                check_some_left(data.store, limits, f"geojepa build-tasks --region {processed.name}")
            report = write_task(data, spec, seed, build.partial)
            made.append(build.publish(counts=report["tiles"] | {"dropped": report["views"]["masked"]}))
    if current:
        verb = "is" if current == 1 else "are"
        console.note(
            f"{current} of {len(specs)} task{'s' if len(specs) > 1 else ''} of `{processed.name}` {verb} up to date, "
            "skipping"
        )
    return made


def check_groups(reports: Reports, need_splits: bool) -> None:
    """Says where splits are too small, over all regions of a task together.

    Raises:
        DataError: `need_splits`, and a split of a task is empty.
    """
    from geojepa_cli.tasks.splits import FEW_TEST_GROUPS

    few: dict[int, list[str]] = {}
    for task, made in reports.items():
        groups = {name: groups_in_split(made, name) for name in ("train", "val", "test")}
        empty = [f"`{name}`" for name, count in groups.items() if count == 0]
        if empty and need_splits:
            hint = "add a --region, take another --seed, or leave out --need-splits and cross-validate"
            raise DataError(f"no tile of task `{task}` falls into {' or '.join(empty)}", hint=hint)
        if groups["test"] < FEW_TEST_GROUPS:
            few.setdefault(groups["test"], []).append(task)
    if few:
        counts = "; ".join(f"{', '.join(tasks)}: {count}" for count, tasks in sorted(few.items()))
        console.warn(
            f"fewer than {FEW_TEST_GROUPS} test groups (zoom-14 blocks), so figures on the test split say little; "
            f"cross-validate over groups instead ({counts})"
        )


def groups_in_split(made: list[tuple[Artifact, dict[str, Any]]], split: str) -> int:
    """Groups with a kept tile; one that two regions share counts in each."""
    return sum(int(report["splits"][split]["groups"]) for _, report in made)


def say(reports: Reports) -> None:
    """One table of all tasks, then label histograms by split."""
    rows = []
    for made in reports.values():
        for artifact, report in made:
            tiles, splits = report["tiles"], report["splits"]
            groups = "/".join(str(splits[name]["groups"]) for name in splits)
            by_split = "/".join(str(splits[name]["tiles"]) for name in splits)
            counts = [f"{tiles['eligible']:,}", f"{tiles['kept']:,}", by_split, groups]
            rows.append([artifact.name.removesuffix(f".{report['task']}"), report["task"], *counts, *strongest(report)])
    columns = ["region", "task", "tiles", "kept", "train/val/test", "groups", "strongest tag left", ""]
    caption = "kept: after thinning of label-0 tiles; groups: zoom-14 blocks; the strongest tag is that of kept tiles"
    console.table("tasks", columns, rows, caption=caption)
    for task, made in reports.items():
        histogram(task, made)


def strongest(report: dict[str, Any]) -> tuple[str, str]:
    """The tag that tells most in the masked view, and its figure."""
    tags = report["strongest"]["tags"]
    if not tags:
        return "–", "–"
    measure = {"auroc": "AUROC", "spearman": "ρ"}[report["strongest"]["measure"]]
    return tags[0]["tag"], f"{measure} {tags[0]['score']:.2f} ({tags[0]['feature']})"


def histogram(task: str, made: list[tuple[Artifact, dict[str, Any]]]) -> None:
    """Tiles by label and split, over all regions."""
    parts = ["train", "val", "test", "test_unthinned"]
    totals: dict[str, list[int]] = {}
    bounds: list[float | None] = []
    for part in parts:
        pairs = [(report["splits"].get(part) or report["test_unthinned"])["histogram"] for _, report in made]
        bounds = [bound for bound, _ in pairs[0]]
        totals[part] = [sum(histogram[i][1] for histogram in pairs) for i in range(len(bounds))]
    shown = [i for i in range(len(bounds)) if any(totals[part][i] for part in parts)]
    rows = [[_bin(bounds, i), *(f"{totals[part][i]:,}" for part in parts)] for i in shown]
    unit = made[0][1]["unit"]
    console.table(f"{task}: tiles by label" + (f" ({unit})" if unit else ""), ["label", *parts], rows)


def _bin(bounds: list[float | None], index: int) -> str:
    upper = bounds[index]
    if upper is None:
        return f"over {bounds[index - 1]:g}"
    return f"up to {upper:g}"
