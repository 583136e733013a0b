"""`geojepa build-tasks`: labels, splits and masked views of a region. Nothing of the data is copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.commands.analyze_task import build_analysis
from geojepa_cli.commands.analyze_task import say as say_analysis
from geojepa_cli.commands.filters import Box, Filters, WithImagery
from geojepa_cli.commands.limits import DEFAULT, Fewest, Limits, Most, limits_of
from geojepa_cli.commands.tasks_tables import say
from geojepa_cli.commands.tile import parse_bbox
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.workspace import Artifact, Build, Workspace

if TYPE_CHECKING:
    from geojepa_cli.tasks.build import RegionData
    from geojepa_cli.tasks.spec import TaskSpec
    from geojepa_cli.tasks.splits import SplitRule

STAGE_VERSION = 3  # since 3, both views stand in one file
Report = dict[str, Any]
Reports = dict[str, list[Report]]


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
    bbox: Box = None,
    with_imagery: WithImagery = False,
    split: Annotated[
        str,
        typer.Option(help="`group`: by zoom-14 block. `random`: tile by tile, only to show how much leakage flatters."),
    ] = "group",
    folds: Annotated[
        int | None, typer.Option("--folds", help="Deal the groups into this many folds, for cross-validation.")
    ] = None,
    buffer: Annotated[
        bool, typer.Option("--buffer", help="Take groups next to a test group out of train and validation.")
    ] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Go on where train, val or test (or a fold) is empty.")
    ] = False,
    analyze: Annotated[
        str | None,
        typer.Option(help="Instead: list the tags that tell most about this task's label, and draw them."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Make labels, splits and masked views.

    Example: geojepa build-tasks --region state-college --task max_speed
    """
    from geojepa_cli.tasks.splits import SplitRule

    filters = Filters(limits_of(min_entities, max_entities), parse_bbox(bbox), with_imagery)
    settings = Settings(SplitRule(seed, split, folds, buffer), filters)
    workspace = options.workspace(ctx)
    if analyze is not None and task:
        raise UsageError("--analyze looks at one task and builds none", hint=f"geojepa build-tasks --analyze {analyze}")
    specs = find_specs([analyze] if analyze else task)
    regions = workspace.regions("processed", region)
    if analyze is not None:
        analysis = build_analysis(workspace, regions, specs[0], settings)
        if json:
            console.emit_json("build-tasks", analysis.ref, analysis.read_json("analysis.json"))
        else:
            say_analysis(analysis)
        return

    def check(reports: Reports) -> None:
        check_splits(reports, allow_empty)
        warn_of_nothing(reports)

    made = build_regions(workspace, regions, specs, settings, check)
    if json:
        in_order = [made[region.name][i] for i in range(len(specs)) for region in regions]
        console.emit_json_of(
            "build-tasks", [(artifact.ref, artifact.read_json("report.json")) for artifact in in_order]
        )
    else:
        say([(region, artifact.read_json("report.json")) for region, row in made.items() for artifact in row])


@dataclass(frozen=True)
class Settings:
    """How tiles are split, and which are read."""

    rule: SplitRule
    filters: Filters

    def params(self, spec: TaskSpec) -> dict[str, Any]:
        """What decides the artifact of a task."""
        dealt = self.rule.as_json()
        seed = dealt.pop("seed")
        return {"task": spec.resolved(), "seed": seed, "split": dealt, **self.filters.params()}


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
    workspace: Workspace, processed: Artifact, specs: list[TaskSpec], seed: int = 0, limits: Limits = DEFAULT
) -> list[Artifact]:
    """Publishes `tasks/<region>.<task>` for every task, split by groups, whatever splits are empty."""
    from geojepa_cli.tasks.splits import SplitRule

    settings = Settings(SplitRule(seed), Filters(limits))
    return build_regions(workspace, [processed], specs, settings)[processed.name]


def build_regions(
    workspace: Workspace,
    regions: Sequence[Artifact],
    specs: Sequence[TaskSpec],
    settings: Settings,
    check: Callable[[Reports], None] = lambda reports: None,
) -> dict[str, list[Artifact]]:
    """Publishes `tasks/<region>.<task>` for every region and task; a region is opened once, where there is work.

    Args:
        workspace: where.
        regions: processed artifacts.
        specs: the tasks.
        settings: of splits and filters.
        check: is given the reports by task before anything is published, and may raise.

    Returns:
        By region the artifacts in the order of `specs`.

    Raises:
        DataError: a region has no tile that the filters keep.
    """
    builds: dict[str, list[Build]] = {}
    reports: dict[str, list[Report]] = {}
    with ExitStack() as stack:
        for processed in regions:
            builds[processed.name] = [
                stack.enter_context(_build(workspace, processed, spec, settings)) for spec in specs
            ]
            reports[processed.name] = _write(workspace, processed, specs, settings, builds[processed.name])
        check({spec.name: [row[place] for row in reports.values()] for place, spec in enumerate(specs)})
        return {
            name: [
                build.existing or build.publish(counts=report["tiles"] | {"dropped": report["views"]["masked"]})
                for build, report in zip(row, reports[name], strict=True)
            ]
            for name, row in builds.items()
        }


def _build(workspace: Workspace, processed: Artifact, spec: TaskSpec, settings: Settings) -> Any:
    images = settings.filters.images(workspace, processed)
    inputs = [processed, *([images] if images else [])]
    return workspace.build("tasks", f"{processed.name}.{spec.name}", settings.params(spec), inputs, STAGE_VERSION)


def _write(
    workspace: Workspace, processed: Artifact, specs: Sequence[TaskSpec], settings: Settings, builds: list[Build]
) -> list[Report]:
    """Writes what is not there yet; the report of every task."""
    data: RegionData | None = None
    reports: list[Report] = []
    for spec, build in zip(specs, builds, strict=True):
        if build.existing:
            reports.append(build.existing.read_json("report.json"))
            continue
        from geojepa_cli.tasks.build import write_task

        if data is None:
            command = f"geojepa build-tasks --region {processed.name}"
            data = settings.filters.open_region(workspace, processed, command)
        reports.append(write_task(data, spec, settings.rule, build.partial))
    if current := sum(build.existing is not None for build in builds):
        verb = "is" if current == 1 else "are"
        plural = "s" if len(specs) > 1 else ""
        console.note(f"{current} of {len(specs)} task{plural} of `{processed.name}` {verb} up to date, skipping")
    return reports


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
