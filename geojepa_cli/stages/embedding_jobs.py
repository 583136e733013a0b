"""One job of `embed`: embeds a region, or a chunk of its tiles. A job is a dict of JSON values.

So any process can run it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import GeojepaError, io_error
from geojepa_cli.hints import Invocation
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.stages.embeddings import RegionEmbedding
from geojepa_cli.stages.workers import Work, describe
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.embed import Chunks


class EmbedJob(TypedDict):
    """A job of `embed`.

    Attributes:
        workspace: directory of the workspace.
        command: the running command, for hints: the fields of an `Invocation`.
        model: reference of the model.
        region, task: `processed/` and `tasks/` artifact as `name@id`. `task` is None for all tiles within the limits.
        masked, alpha, device, threads: arguments of `embed`.
        limits: minimum and maximum number of entities in a tile.
        tiles: number of tiles to embed, for the progress display.
        chunk: number of the chunk to embed. None to embed all chunks that do not exist yet, and publish the artifact.
        folder: folder in which the artifact is built. Used only for a chunk.
    """

    workspace: str
    command: dict[str, Any]
    model: str
    region: str
    task: str | None
    masked: bool
    alpha: float
    device: str
    threads: int
    limits: list[int]
    tiles: int
    chunk: int | None
    folder: str


class Embedded(TypedDict):
    """Result of a job: the artifact as `kind/name@id`, empty for a chunk; or why the job failed, and a hint."""

    artifact: str
    error: str
    hint: str


def running_command() -> dict[str, Any]:
    """Returns the running command as the value `command` of a job."""
    return asdict(hints.running() or Invocation("embed"))


def run_job(job: EmbedJob) -> Embedded:
    """Runs a job in another process than the command."""
    try:
        return run_here(job)
    except Exception as error:  # the command reports it, and other regions continue
        return failure(describe(error))


def run_here(job: EmbedJob) -> Embedded:
    """Runs a job. Errors other than those of geojepa and of files are raised."""
    fields = {**job["command"], "options": tuple(map(tuple, job["command"]["options"]))}
    with hints.invocation(Invocation(**{**fields, "rest": tuple(fields["rest"])})):
        try:
            return {"artifact": _run(job), "error": "", "hint": ""}
        except GeojepaError as error:
            return failure_of(error)
        except OSError as error:
            return failure_of(io_error(error))


def failure_of(error: GeojepaError) -> Embedded:
    """Returns the result of a job that failed with an error."""
    return failure(error.message, str(error.hint) if error.hint else "")


def failure(reason: str, hint: str = "") -> Embedded:
    """Returns the result of a job that failed."""
    return {"artifact": "", "error": reason, "hint": hint}


def name_of_region(job: EmbedJob) -> str:
    """Returns the name of the region of a job, without its id."""
    return job["region"].partition("@")[0]


def find_inputs(job: EmbedJob) -> RegionEmbedding:
    """Returns the artifact that a job makes, or of which it makes a chunk."""
    workspace = Workspace(job["workspace"])
    processed = workspace.find("processed", job["region"])
    task = workspace.find("tasks", job["task"]) if job["task"] else None
    settings = task, job["masked"], job["device"], job["threads"], EntityLimits(*job["limits"])
    return RegionEmbedding.find(
        workspace, find_model(workspace, job["model"]), processed, *settings, alpha=job["alpha"]
    )


def _run(job: EmbedJob) -> str:
    if job["chunk"] is None:
        _open_chunks.cache_clear()
        return find_inputs(job).make().full_ref
    _open_chunks(json.dumps({**job, "chunk": None, "tiles": 0})).make(job["chunk"])
    return ""


@lru_cache(maxsize=1)
def _open_chunks(job: str) -> Chunks:
    """Returns the chunks of a region. Kept for the next job of this process, which is often of the same region."""
    content: EmbedJob = json.loads(job)
    return find_inputs(content).open_chunks(Path(content["folder"]))


REGIONS: Work[EmbedJob, Embedded] = Work(
    run_job, failure, lambda job: f"region `{name_of_region(job)}`", retries=1, reuse=True
)
