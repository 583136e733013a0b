"""Chooses the tasks and regions of a probe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import GeojepaError, NotFoundError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.built_tasks import Tasks, find_tasks, processed_of
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import Regions, as_list, find_regions, in_fixed_order, rebuilding
from geojepa_cli.stages.task_rebuild import ANALYSIS_SUFFIX
from geojepa_cli.stages.trained_groups import groups_of, trained_elsewhere
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.tasks.splits import Groups


class BuiltTask(NamedTuple):
    """A task that was built for one or several regions.

    Attributes:
        regions: `processed/` artifacts of the regions.
        artifacts: `tasks/` artifacts of the task, one for each region, in the same order.
    """

    regions: list[Artifact]
    artifacts: list[Artifact]

    @property
    def name(self) -> str:
        """Name of the task."""
        return str(self.artifacts[0].params["task"]["name"])


def find_built_tasks(workspace: Workspace, task: Tasks | None, region: Regions) -> list[BuiltTask]:
    """Finds tasks that were built for given regions. The regions of each task are sorted by name.

    Args:
        workspace: workspace to search.
        task: names of tasks, or `tasks/` artifacts. None selects all tasks that were built for all of the regions.
        region: names of regions, or artifacts. None selects the regions of the artifacts in `task` or, if there are
            none, the only region in the workspace.

    Raises:
        NotFoundError: a region does not exist, or a task was not built for a region.
        UsageError: an argument is of a wrong type.
    """
    if task is None:
        regions = find_regions(workspace, "processed", region)
        names = tasks_of(workspace, regions)
        if not names:
            where = f"`{regions[0].name}`" if len(regions) == 1 else "all of the regions"
            hint = hints.run("build-tasks", region=[one.name for one in regions])
            raise NotFoundError(f"no task was built for {where}", hint)
        return [_ordered(*find_tasks(workspace, name, regions)) for name in names]
    given = as_list(task)
    if not given:
        raise wrong_type("task", task, "at least one task", '"max_speed"')
    by_task: dict[str, list[str | Artifact]] = {}
    for one in given:
        known = one.params.get("task") if isinstance(one, Artifact) else None
        name = known["name"] if isinstance(known, dict) else one
        by_task.setdefault(f"{isinstance(one, str)} {name}", []).append(one)
    wanted = [found[0] if isinstance(found[0], str) else found for found in by_task.values()]
    return [_ordered(*find_tasks(workspace, one, region)) for one in wanted]


def tasks_of(workspace: Workspace, regions: Sequence[Artifact]) -> list[str]:
    """Returns the names of the tasks that were built for every one of the regions, in alphabetical order."""
    names = [name for name in workspace.names("tasks") if not name.endswith(ANALYSIS_SUFFIX)]
    common: set[str] | None = None
    for region in regions:
        prefix = f"{region.name}."
        found = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        built = {name for name in found if _is_built(workspace, region, name)}
        common = built if common is None else common & built
    return sorted(common or ())


def candidates(workspace: Workspace, task: Tasks | None, region: Regions) -> list[Artifact]:
    """Returns the regions from which `probe` may choose the regions to test, if the user named none.

    These are the newest versions of the regions for which the given tasks were built or, if no task is given, any task.
    Returns an empty list if the user named a region, or if the workspace has only one.
    """
    names = workspace.names("processed")
    given = [] if task is None else as_list(task)
    if region is not None or len(names) < 2 or not all(_is_plain(one) for one in given):
        return []
    newest = [workspace.find("processed", name) for name in names]
    if given:
        found = [one for one in newest if all(_is_built(workspace, one, name) for name in given)]
    else:
        found = [one for one in newest if tasks_of(workspace, [one])]
    return in_fixed_order(found)


def choose_regions(
    found: Sequence[Artifact], models: Sequence[Model], check: Callable[[Model, Artifact], object]
) -> list[Artifact]:
    """Chooses the regions to test: those that no model saw in pretraining. Prints the chosen regions.

    All models must be able to embed the chosen regions. Regions next to tiles that a model saw are chosen only if there
    are no other regions.

    Args:
        found: `processed/` artifacts of the regions to choose from.
        models: models to test.
        check: function that raises an error if a model cannot embed a region.

    Returns:
        The chosen regions. An empty list if the models saw all regions, or if no model was pretrained.
    """
    from geojepa_cli.evaluate.protocols import SEEN_NEIGHBOURS, TRANSFER, find_protocol

    records = [(model, groups_of(model)) for model in models]
    known = {model.name: groups for model, groups in records if groups is not None and len(groups)}
    unknown = [model for model, groups in records if groups is None and not trained_elsewhere(model)]
    if not known and not unknown:
        return []
    by_protocol: dict[str, list[Artifact]] = {TRANSFER: [], SEEN_NEIGHBOURS: []}
    for region in found:
        own = region_groups(region)
        names = {find_protocol(groups, own, own).name for groups in known.values()}
        unseen = names <= set(by_protocol) and not any(region.name in model.regions for model in unknown)
        if unseen and _embeddable(region, models, check):
            by_protocol[SEEN_NEIGHBOURS if SEEN_NEIGHBOURS in names else TRANSFER].append(region)
    chosen = by_protocol[TRANSFER] or by_protocol[SEEN_NEIGHBOURS]
    if chosen:
        near = not by_protocol[TRANSFER]
        _note_choice(chosen, list(known), [model.name for model in unknown], near)
    return chosen


def _note_choice(chosen: Sequence[Artifact], known: Sequence[str], unknown: Sequence[str], near: bool) -> None:
    """Prints which regions are tested because no region was named, and why.

    Args:
        chosen: tested regions.
        known: names of the models that record the tiles that pretraining saw.
        unknown: names of the models that do not record these tiles.
        near: True if a model saw zoom-14 tiles next to the tested regions.
    """
    names = ", ".join(f"`{region.name}`" for region in chosen)
    but = ", but zoom-14 groups next to them" if near else ""
    why = [f"{', '.join(known)} saw no tile of these regions in pretraining{but}"] if known else []
    if unknown:
        why.append(f"the tiles that {', '.join(unknown)} saw are unknown, but the training regions have other names")
    console.note(f"chosen for testing: {names}, because {'; '.join(why)}; name others with `--region`")


def more_data() -> Hint:
    """Returns a hint to fetch a larger extract, for a region with too few tiles or entities."""
    return hints.run("fetch", pbf="FILE", name="NAME").noting("a larger extract; then `tile` and `process`")


def region_groups(region: Artifact) -> Groups:
    """Returns, for each tile of a region, the zoom-14 tile (group) that contains it, int64.

    Raises:
        DataError: `processed.h5` is damaged.
    """
    from geojepa_cli.store.store import TileStore

    with rebuilding(region):
        return TileStore.open([region.file(PROCESSED_FILE)], names=[region.name]).groups


def _embeddable(region: Artifact, models: Sequence[Model], check: Callable[[Model, Artifact], object]) -> bool:
    try:
        for model in models:
            check(model, region)
    except GeojepaError:
        return False
    return True


def _is_built(workspace: Workspace, region: Artifact, task: str) -> bool:
    built = workspace.newest("tasks", f"{region.name}.{task}", lambda inputs, params: region.full_ref in inputs)
    return built is not None and processed_of(workspace, built) == region


def _is_plain(task: object) -> bool:
    return isinstance(task, str) and "." not in task and "@" not in task


def _ordered(regions: list[Artifact], tasks: list[Artifact]) -> BuiltTask:
    found = dict(zip(regions, tasks, strict=True))
    ordered = in_fixed_order(found)
    return BuiltTask(ordered, [found[one] for one in ordered])
