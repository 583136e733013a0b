"""Finds the `tasks/` artifacts of regions. Tasks and regions are given as names or as artifacts."""

from __future__ import annotations

from collections.abc import Sequence

from geojepa_cli import hints
from geojepa_cli.errors import NotFoundError, UsageError, unknown
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.stage import Regions, as_list, check_own, find_regions
from geojepa_cli.stages.task_rebuild import ANALYSIS_SUFFIX
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

Tasks = str | Artifact | Sequence[str | Artifact]


def find_tasks(workspace: Workspace, task: Tasks, region: Regions) -> tuple[list[Artifact], list[Artifact]]:
    """Returns the `processed/` artifacts of regions and, in the same order, the `tasks/` artifacts of a task.

    Args:
        workspace: workspace to search.
        task: name of a task, or its `tasks/` artifacts, one for each region.
        region: regions, as names or artifacts. Default: the regions of the `tasks/` artifacts or, if `task` is a name,
            the only region in the workspace.

    Raises:
        NotFoundError: a region does not exist, or the task was not built for a region.
        UsageError: `task` is neither a name nor `tasks/` artifacts of this workspace; or these artifacts are of
            different tasks, two of them are of the same region, or none is of a given region.
    """
    given = as_list(task)
    if any(isinstance(one, str) for one in given):
        if len(given) > 1:
            raise wrong_type("task", task, "one task, got a list of several", f'"{next(filter(_is_text, given))}"')
        task = given[0]
    if isinstance(task, str):
        regions = find_regions(workspace, "processed", region)
        return regions, [find_task_artifact(workspace, processed, task) for processed in regions]
    by_region: dict[str, tuple[Artifact, Artifact]] = {}
    for one in given:
        _check_task(one)
        check_own(workspace, one)
        processed = processed_of(workspace, one)
        _, other = by_region.setdefault(processed.ref, (processed, one))
        first = next(iter(by_region.values()))[1]
        if other != one:
            raise _several(f"two artifacts of the region `{processed.ref}`", other, one)
        if first.params["task"]["name"] != one.params["task"]["name"]:
            raise _several("artifacts of different tasks", first, one)
    if not by_region:
        raise wrong_type("task", task, "at least one `tasks` artifact", '"max_speed"')
    if region is not None:
        wanted = find_regions(workspace, "processed", region)
        missing = [processed for processed in wanted if processed.ref not in by_region]
        if missing:
            name = next(iter(by_region.values()))[1].params["task"]["name"]
            hint = hints.run("build-tasks", region=missing[0].name, task=name)
            raise UsageError(f"no artifact in the argument `task` is for the region `{missing[0].ref}`", hint)
        by_region = {processed.ref: by_region[processed.ref] for processed in wanted}
    return [processed for processed, _ in by_region.values()], [built for _, built in by_region.values()]


def find_task_artifact(workspace: Workspace, processed: Artifact, task: str) -> Artifact:
    """Returns the artifact `tasks/<region>.<task>` that was made from a given `processed/` artifact.

    Args:
        workspace: workspace to search.
        processed: `processed/` artifact of the region.
        task: `name` or `region.name` for the newest artifact; `name@id` or `region.name@id` for the one with this id.

    Raises:
        NotFoundError: the task is unknown or was not built. The hint is the command that builds the task.
    """
    prefix = f"{processed.name}."
    name, at, id_start = task.removeprefix(prefix).partition("@")
    built = [full.removeprefix(prefix) for full in workspace.names("tasks") if full.startswith(prefix)]
    built = [one for one in built if not one.endswith(ANALYSIS_SUFFIX)]
    if name not in built:
        from geojepa_cli.tasks.spec import packed_tasks

        if name not in packed_tasks():
            hint = hints.run("build-tasks", region=processed.name, task="max_speed")
            raise unknown("task", task, [*packed_tasks(), *built], hint, "--task")
    if not at:
        return workspace.derived("tasks", prefix + name, processed)
    found = workspace.find("tasks", f"{prefix}{name}@{id_start}")
    if processed.full_ref not in found.inputs:
        hint = hints.run("build-tasks", region=processed.name, task=name)
        raise NotFoundError(f"`{found.full_ref}` was not made from `{processed.full_ref}`", hint)
    return found


def processed_of(workspace: Workspace, task: Artifact) -> Artifact:
    """Returns the `processed/` artifact from which a `tasks/` artifact was made."""
    return workspace.at(inputs_of_kind(task, "processed")[0])


def _check_task(task: object) -> None:
    if not isinstance(task, Artifact) or task.kind != "tasks" or task.name.endswith(ANALYSIS_SUFFIX):
        example = 'workspace.find("tasks", "REGION.max_speed")'
        raise wrong_type("task", task, "the name of a task, or its `tasks` artifacts", example)


def _several(what: str, first: Artifact, second: Artifact) -> UsageError:
    message = f"the argument `task` has {what}, `{first.ref}` and `{second.ref}`: expected one task, once per region"
    return UsageError(message, hints.advice(f'pass task=workspace.find("tasks", "{first.ref}")'))


def _is_text(value: object) -> bool:
    return isinstance(value, str)
