"""One job of a sweep: trains a model and probes it. A job is a dict of JSON values, so that any process can run it."""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path
from typing import TypedDict

from geojepa_cli.errors import InterruptedRunError, OtherRankError
from geojepa_cli.stages.models import pretrain
from geojepa_cli.stages.probes import probe
from geojepa_cli.stages.workers import Work, describe
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

PROBE_SEED = 0  # all models are tested on the same folds, so that their errors are paired


class Job(TypedDict):
    """A job of a sweep: the model of one trial, seed and fold.

    Attributes:
        workspace: directory of the workspace.
        trial: name of the trial.
        model: name of the model.
        config: complete configuration as YAML.
        seed: seed of the model.
        fold: fold that training leaves out and on which the model is tested; None if the sweep has no folds.
        regions, test_regions: `processed/` artifacts to train on and to test on, as `name@id`.
        tasks: names of the tasks.
        masked: hide the tags and entities that reveal the label.
        heads: prediction heads.
        device: `cpu`, `cuda` or `auto`.
        threads: number of CPU threads.
    """

    workspace: str
    trial: str
    model: str
    config: str
    seed: int
    fold: int | None
    regions: list[str]
    test_regions: list[str]
    tasks: list[str]
    masked: bool
    heads: list[str]
    device: str
    threads: int


class Done(TypedDict):
    """Result of a job: the model and its probes as `name@id`, or the reason why the job failed."""

    model: str | None
    probes: list[str]
    error: str


def run_job(job: Job) -> Done:
    """Trains and probes a model. Artifacts that exist are not made again; an interrupted training run is resumed.

    Returns:
        The artifacts or, if training or a probe failed, the reason.

    Raises:
        InterruptedRunError: the run was stopped with Ctrl-C or SIGTERM.
    """
    workspace, model = Workspace(job["workspace"]), None
    try:
        with tempfile.TemporaryDirectory(prefix="geojepa-sweep-") as folder:
            config = Path(folder) / f"{job['trial']}.yaml"
            config.write_text(job["config"], encoding="utf-8")
            run = {"device": job["device"], "threads": job["threads"], "fold": job["fold"]}
            model = pretrain(workspace, config, job["regions"], (), job["model"], job["seed"], **run)  # type: ignore[arg-type]
        made = probe_tasks(workspace, model, job)
    except (InterruptedRunError, OtherRankError):
        raise
    except Exception as error:
        failed = failure(describe(error))
        del error
        _free_memory()
        return {**failed, "model": model.ref if model is not None else None}
    return {"model": model.ref, "probes": [one.ref for one in made], "error": ""}


def probe_tasks(workspace: Workspace, model: Artifact | str, job: Job) -> list[Artifact]:
    """Probes a model on all tasks of a job."""
    tested = job["tasks"], [model], job["test_regions"], job["masked"], job["heads"], PROBE_SEED
    return probe(workspace, *tested, device=job["device"], threads=job["threads"], fold=job["fold"])


def failure(reason: str) -> Done:
    """Returns the result of a job that failed."""
    return {"model": None, "probes": [], "error": reason}


def _free_memory() -> None:
    """Frees the memory of a failed model, also on the GPU, so that the next model has enough memory."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


TRIALS: Work[Job, Done] = Work(run_job, failure, lambda job: f"trial `{job['trial']}`")
