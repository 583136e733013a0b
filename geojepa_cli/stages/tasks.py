"""Tasks: labels, splits and masked views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.filters import Filters
from geojepa_cli.stages.stage import Stage
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.tasks.build import RegionData
    from geojepa_cli.tasks.spec import TaskSpec
    from geojepa_cli.tasks.splits import SplitRule


def _rebuild(remains: Remains) -> Hint:
    return hints.run("build-tasks", region=remains.name.partition(".")[0])


TASKS = Stage("tasks", version=3, rebuild=_rebuild)
Report = dict[str, Any]
Reports = dict[str, list[Report]]


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
    workspace: Workspace,
    processed: Artifact,
    specs: list[TaskSpec],
    seed: int = 0,
    limits: EntityLimits = DEFAULT_LIMITS,
) -> list[Artifact]:
    """Publishes `tasks/<region>.<task>` for every task, split by groups, whatever splits are empty."""
    from geojepa_cli.tasks.splits import SplitRule

    settings = Settings(SplitRule(seed), Filters(limits))
    return make_tasks(workspace, [processed], specs, settings)[processed.name]


def make_tasks(
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
    return TASKS.build(workspace, f"{processed.name}.{spec.name}", settings.params(spec), inputs)


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
            data = settings.filters.open_region(workspace, processed)
        reports.append(write_task(data, spec, settings.rule, build.partial))
    if current := sum(build.existing is not None for build in builds):
        verb = "is" if current == 1 else "are"
        plural = "s" if len(specs) > 1 else ""
        console.note(f"{current} of {len(specs)} task{plural} of `{processed.name}` {verb} up to date, skipping")
    return reports
