"""Runs the jobs of `embed` on several processes: of this computer, of Ray, or of `torchrun`.

Which process embeds a region does not affect the result. A region with many tiles is divided into chunks, which
different processes embed. The chunks, and the batches in a chunk, do not depend on the number of processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial

from geojepa_cli import console, hints
from geojepa_cli.errors import GeojepaError, InterruptedRunError, OtherRankError, UsageError
from geojepa_cli.hints import Hint, Invocation
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.embedding_jobs import REGIONS, Embedded, EmbedJob, failure_of, find_inputs, run_here
from geojepa_cli.stages.workers import check_ray, run_jobs
from geojepa_cli.train.ranks import Ranks
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

# runs jobs, and returns their results in the same order; the text is the title of the progress display
Runner = Callable[[Sequence[EmbedJob], str], list[Embedded]]


def choose_runner(ranks: Ranks, workers: int, ray: bool, device: str) -> Runner | None:
    """Returns the function that runs jobs on several processes. None if there is only this process.

    Raises:
        UsageError: `torchrun` is combined with `--workers` or `--ray`, or the device does not exist.
        MissingExtraError: Ray is not installed.
    """
    if ranks.size > 1:
        if ray or workers > 1:
            message = "`torchrun` cannot be combined with `--workers` and `--ray`: its processes are the workers"
            raise UsageError(message, leaving_out("--workers", "--ray"))
        ranks.device(pick_device(device))
        return partial(_on_ranks, ranks)
    if ray:
        check_ray()
        return partial(_in_workers, workers if workers > 1 else 0, True)
    return partial(_in_workers, workers, False) if workers > 1 else None


def leaving_out(*names: str) -> Hint:
    """Returns a hint that repeats the command without some of its options, such as `--ray`."""
    command = hints.running() or Invocation("embed")
    return Hint(command.command, command.without([(name, None) for name in names]))


def run_divided(jobs: Mapping[int, EmbedJob], run: Runner, model: str) -> dict[int, Embedded]:
    """Runs jobs on several processes, which share the regions and the chunks of large regions. Returns the results."""
    done: dict[int, Embedded] = {}
    parts: list[tuple[int, EmbedJob]] = []
    with ExitStack() as locks:
        for place, job in jobs.items():
            try:
                parts += [(place, part) for part in _divide(job, locks)]
            except GeojepaError as error:
                done[place] = failure_of(error)
        parts.sort(key=lambda part: -part[1]["tiles"])  # the longest first, so that all processes end at the same time
        title = f"embed {console.counted(len(jobs), 'region')} with {model}"
        for (place, _), one in zip(parts, run([part for _, part in parts], title), strict=True):
            if one["error"] or place not in done:
                done[place] = one
    # the locks are released, so that other processes can publish the regions whose chunks are made
    divided = [place for place, one in done.items() if not one["error"] and not one["artifact"]]
    if not divided:
        return done
    title = f"join the chunks of {console.counted(len(divided), 'region')}"
    return done | dict(zip(divided, run([jobs[place] for place in divided], title), strict=True))


def _divide(job: EmbedJob, locks: ExitStack) -> list[EmbedJob]:
    """Returns a job for each chunk of a large region, which stays locked. A small region is one job."""
    from geojepa_cli.evaluate.embed import chunk_sizes

    sizes = chunk_sizes(job["tiles"])
    if len(sizes) == 1:
        return [job]
    build = locks.enter_context(find_inputs(job).build())
    if build.existing is not None:
        return [job]
    folder = str(build.partial.resolve())
    return [{**job, "chunk": number, "tiles": size, "folder": folder} for number, size in enumerate(sizes)]


def _in_workers(workers: int, ray: bool, jobs: Sequence[EmbedJob], title: str) -> list[Embedded]:
    found: dict[int, Embedded] = {}
    results = run_jobs(REGIONS, jobs, workers, ray, lambda job: None)
    try:
        with closing(results), console.progress(title, sum(job["tiles"] for job in jobs)) as meter:
            for place, one in results:
                found[place] = one
                meter.update(sum(jobs[finished]["tiles"] for finished in found))
    except (InterruptedRunError, KeyboardInterrupt):
        message = "interrupted; finished regions, and finished chunks of large regions, are kept"
        raise InterruptedRunError(message, hints.again().noting("to resume")) from None
    return [found[place] for place in range(len(jobs))]


def _on_ranks(ranks: Ranks, jobs: Sequence[EmbedJob], title: str) -> list[Embedded]:
    """Runs jobs on the processes of `torchrun`. Called by process 0; the others call `follow`."""
    ranks.share(json.dumps({"jobs": jobs}))
    console.note(title)
    return _take_part(ranks, jobs)


def follow(workspace: Workspace, ranks: Ranks) -> list[Artifact]:
    """Runs the jobs that process 0 shares, and returns the artifacts."""
    try:
        while True:
            shared = json.loads(ranks.share())
            if "made" in shared:
                return [workspace.at(ref) for ref in shared["made"]]
            for job in shared["jobs"][:1]:
                ranks.device(pick_device(job["device"]))
            _take_part(ranks, shared["jobs"])
    except KeyboardInterrupt:
        raise OtherRankError("interrupted") from None


def _take_part(ranks: Ranks, jobs: Sequence[EmbedJob]) -> list[Embedded]:
    own = {place: run_here(jobs[place]) for place in ranks.take(len(jobs))}
    every: dict[str, Embedded] = {}
    for text in ranks.texts(json.dumps(own)):
        every |= json.loads(text)
    return [every[str(place)] for place in range(len(jobs))]
