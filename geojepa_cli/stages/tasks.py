"""Stage `tasks/`: prepares the tiles of a region for a prediction task.

A `tasks/` artifact contains the label and the split of each tile, and two selections of tiles, entities and tags: with
all tags (plain), and without the tags and entities that reveal the label (masked).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.filters import Filters
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import Regions, Stage, as_command, as_list, find_regions
from geojepa_cli.stages.task_checks import warn_of_empty, warn_of_small_splits
from geojepa_cli.stages.task_rebuild import DEFINITION, rebuild_task
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds
    from geojepa_cli.tasks.build import RegionData
    from geojepa_cli.tasks.spec import TaskSpec
    from geojepa_cli.tasks.splits import SplitRule

REPORT_FILE = "report.json"
TaskNames = str | Path | Artifact | Sequence[str | Path | Artifact] | None
TASKS = Stage(
    "tasks",
    version=4,
    rebuild=rebuild_task,
    made_from="processed",
    files=(DEFINITION, "labels.h5", "views.h5", REPORT_FILE),
)


@dataclass(frozen=True)
class TaskSettings:
    """Settings of a `tasks/` artifact that are not part of the task's definition.

    Attributes:
        rule: rule that assigns tiles to train, validation and test.
        filters: conditions that a tile must meet to be used.
    """

    rule: SplitRule
    filters: Filters

    def params(self, spec: TaskSpec) -> dict[str, Any]:
        """Returns these settings and the definition of a task as a dict of artifact parameters."""
        split = self.rule.as_json()
        seed = split.pop("seed")
        return {"task": spec.resolved(), "seed": seed, "split": split, **self.filters.params()}

    def check(self, workspace: Workspace, regions: Sequence[Artifact]) -> None:
        """Checks that the regions have the required images, and at least as many groups (zoom-14 tiles) as folds.

        Raises:
            NotFoundError: images are required, and a region has none.
            UsageError: there are more folds than groups in all regions together.
        """
        for processed in regions:
            self.filters.images(workspace, processed)
        if self.rule.folds is None or self.rule.by == "random":
            return
        groups = count_groups(regions)
        if self.rule.folds > groups:
            have = f"the tiles are in {console.counted(groups, 'zoom-14 group')}"
            message = f"`--folds {self.rule.folds}`: expected at most one fold per zoom-14 group, but {have}"
            more = hints.again(region=[*(processed.name for processed in regions), "ANOTHER"])
            raise UsageError(message, hints.again(folds=groups) if groups > 1 else more)


@as_command("build-tasks")
def build_tasks(
    workspace: Workspace,
    region: Regions = None,
    task: TaskNames = None,
    seed: int = 0,
    min_entities: int | None = None,
    max_entities: int | None = None,
    bbox: Bounds | None = None,
    with_imagery: bool = False,
    split: str = "group",
    folds: int | None = None,
    buffer: bool = False,
) -> list[Artifact]:
    """Makes the labels, splits and masks of tasks for one or several regions.

    The mask of a task hides the tags and entities that reveal the label.

    By default, tiles are split by groups (zoom-14 tiles): all tiles of a group are in the same split. Warns if a split
    is empty or has few groups, if no entity matches the label rules, or if the mask hides all entities of a tile.

    Args:
        workspace: workspace to read from and publish to.
        region: names of regions, or artifacts. Default: the only region in the workspace.
        task: names of tasks that come with geojepa, paths of YAML files that define tasks, or `tasks/` artifacts with
            the definition of a task. Default: all tasks that come with geojepa.
        seed: random seed of the splits and folds.
        min_entities: minimum number of entities in a tile. Default: 5.
        max_entities: maximum number of entities in a tile. Default: 1250.
        bbox: bounding box (west, south, east, north) in degrees that tiles must intersect.
        with_imagery: use only tiles that have an image.
        split: `group` assigns whole groups to splits. `random` assigns each tile separately; test scores are then too
            good, because neighbouring tiles are in different splits.
        folds: number of cross-validation folds, 2 to 20. Each group is also assigned to a fold. None for no folds.
        buffer: leave out groups that are next to a test group from training and validation.

    Returns:
        The `tasks/` artifacts in the order of the tasks; the artifacts of one task are in the order of the regions.

    Raises:
        UsageError: the definition of a task or an argument is not valid.
        NotFoundError: there is no such region or task, or `with_imagery` is set but a region has no images.
        DataError: no tile of a region meets the conditions.
    """
    from geojepa_cli.tasks.splits import SplitRule

    filters = Filters(entity_limits(min_entities, max_entities), bbox, with_imagery)
    settings = TaskSettings(SplitRule(seed, split, folds, buffer), filters)
    specs = find_specs(task)
    regions = find_regions(workspace, "processed", region)
    settings.check(workspace, regions)
    made = make_tasks(workspace, regions, specs, settings)
    by_task = [[made[processed.name][place] for processed in regions] for place in range(len(specs))]
    reports = {
        spec.name: [artifact.read_json(REPORT_FILE) for artifact in row]
        for spec, row in zip(specs, by_task, strict=True)
    }
    warn_of_small_splits(reports)
    warn_of_empty(reports)
    return [artifact for row in by_task for artifact in row]


def find_specs(tasks: TaskNames, option: str = "--task") -> list[TaskSpec]:
    """Returns the definitions of tasks, after reading and checking them.

    Args:
        tasks: names of tasks that come with geojepa, paths of YAML files that define tasks, or `tasks/` artifacts with
            the definition of a task. None selects all tasks that come with geojepa.
        option: command-line option in which the tasks were given, such as `--task`; used in hints.

    Raises:
        UsageError: a definition is not valid, or two tasks have the same name.
    """
    from geojepa_cli.tasks.spec import find_task, load_task, packed_tasks

    packed, argument = packed_tasks(), option.removeprefix("--")
    wanted = list(dict.fromkeys(packed if tasks is None else (_task_name(task, argument) for task in as_list(tasks))))
    if not wanted:
        raise wrong_type(argument, tasks, "at least one task", '"max_speed"')
    specs = [find_task(name, option) for name in wanted]
    for given, spec in zip(wanted, specs, strict=True):
        if spec.label.file is not None:
            hint = hints.run("build-tasks", labels="FILE", label=spec.label.file.column, name=spec.name)
            raise UsageError(f"the labels of the task in `{given}` come from a file: `--labels` is required", hint)
    names = [spec.name for spec in specs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        kept = [given for place, given in enumerate(wanted) if names.index(names[place]) == place]
        hint = hints.again(task=kept).noting("or give one of them another `name`")
        raise UsageError(f"two tasks have the name `{repeated[0]}`", hint)
    for given, spec in zip(wanted, specs, strict=True):
        if given not in packed and spec.name in packed and spec != load_task(packed[spec.name]):
            console.warn(
                f"the task in `{given}` has the same name as the task `{spec.name}` of geojepa, but another "
                f"definition: `--task {spec.name}` will select the task that was built last; to keep both tasks, "
                f"change `name` in `{given}`"
            )
    return specs


def _task_name(task: object, argument: str) -> str:
    """Returns the name of a task that comes with geojepa. For other tasks, returns the path of the defining file."""
    if isinstance(task, Artifact) and task.kind == TASKS.kind and DEFINITION in task.manifest["files"]:
        return str(task.verified_file(DEFINITION))
    if isinstance(task, Path):  # a path without a folder must not be taken for the name of a task of geojepa
        return str(task if task.suffix in (".yaml", ".yml") else task.absolute())
    if isinstance(task, str):
        return task
    raise wrong_type(
        argument, task, "the name of a task, the path of a YAML file, or a `tasks` artifact", '"max_speed"'
    )


def count_groups(regions: Sequence[Artifact]) -> int:
    """Returns the number of groups (zoom-14 tiles) that contain a tile of at least one of the regions."""
    import numpy as np

    from geojepa_cli.store.store import TileStore

    store = TileStore.open([region.file(PROCESSED_FILE) for region in regions], names=[one.name for one in regions])
    return len(np.unique(store.groups))


def make_tasks(
    workspace: Workspace, regions: Sequence[Artifact], specs: Sequence[TaskSpec], settings: TaskSettings
) -> dict[str, list[Artifact]]:
    """Publishes an artifact `tasks/<region>.<task>` for every region and task.

    Each artifact contains `labels.h5`, `views.h5`, `task.yaml` and `report.json`. See docs/formats.md for their layout.

    Args:
        workspace: workspace to publish to.
        regions: `processed/` artifacts of the regions.
        specs: definitions of the tasks.
        settings: rule for the splits, and filters for the tiles.

    Returns:
        A dict from the name of each region to its artifacts, which are in the order of `specs`.

    Raises:
        DataError: no tile of a region meets the conditions.
    """
    return {processed.name: _make_region(workspace, processed, specs, settings) for processed in regions}


def _make_region(
    workspace: Workspace, processed: Artifact, specs: Sequence[TaskSpec], settings: TaskSettings
) -> list[Artifact]:
    images = settings.filters.images(workspace, processed)
    inputs = [processed, *([images] if images else [])]

    @cache
    def opened() -> RegionData:  # opened once for all tasks, and only if a task must be made
        return settings.filters.open_region(workspace, processed)

    def make(spec: TaskSpec) -> Artifact:
        def write(build: Build) -> Artifact:
            from geojepa_cli.tasks.build import write_task

            report = write_task(opened(), spec, settings.rule, build.partial)
            return build.publish(counts=report["tiles"] | {"dropped": report["views"]["masked"]})

        return TASKS.make(workspace, f"{processed.name}.{spec.name}", settings.params(spec), inputs, write)

    return [make(spec) for spec in specs]
