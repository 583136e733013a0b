"""The command `embed`: embeds one or several regions, on one or several processes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import DataError, GeojepaError, UsageError
from geojepa_cli.stages.alpha import check_alpha_of
from geojepa_cli.stages.built_tasks import Tasks, find_tasks
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.embedding_jobs import Embedded, EmbedJob, failure_of, name_of_region, run_here, running_command
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.embedding_processes import Runner, choose_runner, follow, leaving_out, run_divided
from geojepa_cli.stages.embeddings import check_region, make_embeddings
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.stage import Regions, as_command, find_regions
from geojepa_cli.train.ranks import Ranks
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace


@as_command("embed")
def embed(
    workspace: Workspace,
    model: str | Artifact | None = None,
    region: Regions = None,
    task: Tasks | None = None,
    masked: bool = False,
    min_entities: int | None = None,
    max_entities: int | None = None,
    device: str = "auto",
    threads: int = 1,
    alpha: float = 0.0,
    all_regions: bool = False,
    workers: int = 1,
    ray: bool = False,
) -> list[Artifact]:
    """Computes embeddings of the tiles and entities of one or several regions.

    If a region fails, the others are still embedded, and the error comes at the end. Artifacts that exist are not made
    again, so a command that was killed continues where it stopped. The result does not depend on `workers` and `ray`.

    Args:
        workspace: workspace to read from and publish to.
        model: name, or `models/` artifact. Default: the newest model; without one, the model that comes with geojepa.
        region: names of regions, or `processed/` artifacts. Default: the regions of the artifacts in `task` or, if
            there are none, the only region in the workspace.
        task: task (name or `tasks/` artifacts) whose tiles are embedded. Default: all tiles within the limits below.
        masked: hide the tags and entities that reveal the label of the task.
        min_entities: minimum number of entities in a tile. Cannot be combined with `task`. Default: 5.
        max_entities: maximum number of entities in a tile. Cannot be combined with `task`. Default: 1250.
        device: `cpu`, `cuda` or `auto`.
        threads: number of CPU threads of each process.
        alpha: weight of the entity alone in the vectors of entities, 0 to 1 (ADR 24). Does not change vectors of tiles.
        all_regions: embed all regions in the workspace. Cannot be combined with `region`.
        workers: number of processes on this computer, which share the regions and the tiles of large regions.
        ray: share them on Ray: on the cluster of `RAY_ADDRESS`, or on this computer. All machines need the workspace at
            the same path. `workers` limits the number of processes if it is above 1.

    Returns:
        One `embeddings/` artifact per region.

    Raises:
        UsageError: arguments cannot be combined.
        NotFoundError: there is no such model, region or task.
        DataError: there is no tile to embed, the model is damaged, or a region failed.
        MissingExtraError: Ray is not installed.
        InterruptedRunError: worker processes were stopped with Ctrl-C or SIGTERM.
    """
    with Ranks.from_environment() as ranks:
        if not ranks.leads:
            return follow(workspace, ranks)
        _check_arguments(region, task, masked, min_entities, max_entities, all_regions)
        check_device(device)
        limits = entity_limits(min_entities, max_entities)
        run = choose_runner(ranks, workers, ray, device)
        pairs = _find_pairs(workspace, region, task, all_regions)
        chosen = find_model(workspace, model, [processed for processed, _ in pairs])
        request = _Request(workspace, chosen, pairs, masked, limits, check_alpha_of(chosen, alpha), device, threads)
        made = request.embed(run, skip_refused=all_regions)
        ranks.share(json.dumps({"made": [artifact.full_ref for artifact in made]}))
        return made


class _Request(NamedTuple):
    """Checked arguments of `embed`. `pairs` has the `processed/` artifact of each region, and its `tasks/` artifact."""

    workspace: Workspace
    model: Model
    pairs: Sequence[tuple[Artifact, Artifact | None]]
    masked: bool
    limits: EntityLimits
    alpha: float
    device: str
    threads: int

    def embed(self, run: Runner | None, skip_refused: bool) -> list[Artifact]:
        """Embeds all regions.

        Args:
            run: function that runs jobs on several processes. None: this process embeds one region after another.
            skip_refused: embed the other regions if the check of a region fails.
        """
        if run is None and len(self.pairs) == 1:
            what = self.workspace, self.model, *self.pairs[0], self.masked
            return [make_embeddings(*what, self.device, self.threads, self.limits, alpha=self.alpha)]
        jobs, done = self._jobs(), dict[int, Embedded]()
        for place, (processed, task) in enumerate(self.pairs):
            try:
                tiles = check_region(self.workspace, self.model, processed, task, self.masked, self.limits)
                jobs[place]["tiles"] = tiles
            except GeojepaError as error:
                if not skip_refused:
                    raise
                done[place] = failure_of(error)
        accepted = {place: job for place, job in enumerate(jobs) if place not in done}
        done |= _run_in_order(accepted) if run is None else run_divided(accepted, run, self.model.name)
        return _artifacts(self.workspace, jobs, done)

    def _jobs(self) -> list[EmbedJob]:
        """Returns a job for each region. The number of its tiles is not known yet."""
        return [
            {
                "workspace": str(self.workspace.root.resolve()),
                "command": running_command(),
                "model": self.model.ref,
                "region": processed.ref,
                "task": task.ref if task else None,
                "masked": self.masked,
                "alpha": self.alpha,
                "device": self.device,
                "threads": self.threads,
                "limits": list(self.limits),
                "tiles": 0,
                "chunk": None,
                "folder": "",
            }
            for processed, task in self.pairs
        ]


def _check_arguments(
    region: Regions, task: Tasks | None, masked: bool, low: int | None, high: int | None, all_regions: bool
) -> None:
    if masked and task is None:
        message = "`--masked` requires `--task`: it hides what reveals the label of a task"
        raise UsageError(message, hints.again(task="max_speed"))
    if task is not None and (low is not None or high is not None):
        raise UsageError(
            "`--task` cannot be combined with `--min-entities` and `--max-entities`: the task sets these limits",
            hints.run("build-tasks", task=task if isinstance(task, str) else None, min_entities=low, max_entities=high),
        )
    if all_regions and region is not None:
        message = "`--all-regions` cannot be combined with `--region`"
        raise UsageError(message, leaving_out("--all-regions"))


def _find_pairs(
    workspace: Workspace, region: Regions, task: Tasks | None, all_regions: bool
) -> list[tuple[Artifact, Artifact | None]]:
    """Returns the `processed/` artifact of each region, and its `tasks/` artifact."""
    names = workspace.names("processed")
    if all_regions:
        region = names or None
    elif region is None and isinstance(task, str | None) and len(names) > 1:
        listed = ", ".join(f"`{name}`" for name in names)
        message = f"`{workspace.root}` has several regions ({listed}): choose one with `--region`"
        raise UsageError(message, hints.again(region=names[0]).or_else(hints.again(all_regions=True)))
    if task is None:
        return [(one, None) for one in find_regions(workspace, "processed", region)]
    return list(zip(*find_tasks(workspace, task, region), strict=True))


def _run_in_order(jobs: Mapping[int, EmbedJob]) -> dict[int, Embedded]:
    return {place: run_here(job) for place, job in jobs.items()}


def _artifacts(workspace: Workspace, jobs: Sequence[EmbedJob], done: Mapping[int, Embedded]) -> list[Artifact]:
    """Returns the artifacts of all regions.

    Raises:
        DataError: a region failed.
    """
    failed = {name_of_region(jobs[place]): one for place, one in sorted(done.items()) if one["error"]}
    if not failed:
        return [workspace.at(done[place]["artifact"]) for place in range(len(jobs))]
    first = next(iter(failed.values()))
    hint = hints.advice(first["hint"]) if first["hint"] else hints.again().noting("to try again")
    if len(jobs) == 1:
        raise DataError(first["error"], hint)
    many = f"{len(failed)} of {len(jobs)} regions failed"
    kept = "; the embeddings of the others are finished" if len(failed) < len(jobs) else ""
    if len(failed) == 1:
        (name,) = failed
        raise DataError(f"{many}: `{name}`: {first['error']}{kept}", hint)
    for name, one in failed.items():
        console.warn(f"region `{name}` failed: {one['error']}", hints.advice(one["hint"]) if one["hint"] else None)
    listed = ", ".join(f"`{name}`" for name in failed)
    raise DataError(f"{many} ({listed}){kept}", hints.again().noting("to try again, after they are fixed"))
