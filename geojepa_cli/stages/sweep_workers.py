"""Runs the jobs of a sweep: one after another, in several processes of this computer, or on a Ray cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import util
from pathlib import Path
from typing import Any

import geojepa_cli
from geojepa_cli import hints
from geojepa_cli.errors import InterruptedRunError, MissingExtraError
from geojepa_cli.stages.sweep_jobs import Done, Job, failure, run_job

Results = Iterator[tuple[int, Done]]  # place of each job, and its result
WORKER = "geojepa_cli.stages.sweep_worker"


def check_ray() -> None:
    """Checks that Ray is installed.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    if util.find_spec("ray") is None:
        raise MissingExtraError("`--ray` needs the package `ray`", hints.shell("pip", "install", "geojepa[scale]"))


def run_jobs(jobs: Sequence[Job], workers: int, ray: bool, start: Callable[[Job], None]) -> Results:
    """Runs jobs. Yields the index of each job in `jobs` and its result, as soon as the job is finished.

    Args:
        jobs: jobs to run.
        workers: number of jobs that run at the same time; 0 for as many as the Ray cluster can run.
        ray: run the jobs on Ray.
        start: function that is called with each job before the job starts.

    Raises:
        InterruptedRunError: the sweep was stopped with Ctrl-C, or a job with SIGTERM.
    """
    if ray:
        yield from _with_ray(jobs, workers, start)
    elif workers > 1:
        yield from _in_processes(jobs, workers, start)
    else:
        for place, job in enumerate(jobs):
            start(job)
            yield place, run_job(job)


def _in_processes(jobs: Sequence[Job], workers: int, start: Callable[[Job], None]) -> Results:
    running: set[subprocess.Popen[str]] = set()

    def run(job: Job) -> Done:
        start(job)
        return _run_process(job, running)

    with ThreadPoolExecutor(workers) as pool:
        places = {pool.submit(run, job): place for place, job in enumerate(jobs)}
        try:
            for future in as_completed(places):
                yield places[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                process.send_signal(signal.SIGTERM)  # training saves a checkpoint
            raise


def _run_process(job: Job, running: set[subprocess.Popen[str]]) -> Done:
    """Runs a job in a new process, and waits for its result.

    Raises:
        InterruptedRunError: the process was stopped with Ctrl-C or SIGTERM.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": _python_path()},
        )
        with process:
            running.add(process)
            try:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(json.dumps(job) + "\n")
                process.stdin.flush()
                output = process.stdout.read()
                code = process.wait()
            except BrokenPipeError:
                output, code = "", process.wait()
            finally:
                running.discard(process)
        if code == 0:
            done: Done = json.loads(output.splitlines()[-1])
            return done
        if code in (130, -signal.SIGTERM, -signal.SIGINT):
            raise InterruptedRunError(f"trial `{job['trial']}` was interrupted")
        errors.seek(0)
        last = (errors.read().strip().splitlines() or ["no message"])[-1]
        reason = f"killed by signal {-code}; perhaps not enough memory" if code < 0 else last[:300]
        return failure(f"the process of the trial ended: {reason}")


def _with_ray(jobs: Sequence[Job], workers: int, start: Callable[[Job], None]) -> Results:
    """Runs each job as a Ray task: on the cluster of `RAY_ADDRESS` or, without it, on this computer.

    All machines need the workspace at the same path.
    """
    import ray

    if not ray.is_initialized():
        local = {} if os.environ.get("RAY_ADDRESS") else {"env_vars": {"PYTHONPATH": _python_path()}}
        ray.init(runtime_env=local, log_to_driver=False, include_dashboard=False if local else None)
    resources = ray.cluster_resources()
    waiting, pending = list(range(len(jobs)))[::-1], dict[Any, int]()
    while waiting or pending:
        while waiting and (workers < 1 or len(pending) < workers):
            place = waiting.pop()
            start(jobs[place])
            pending[_submit(ray, jobs[place], resources)] = place
        (finished, *_), _ = ray.wait(list(pending), num_returns=1)
        place = pending.pop(finished)
        try:
            yield place, ray.get(finished)
        except ray.exceptions.RayTaskError as error:
            raise InterruptedRunError(f"trial `{jobs[place]['trial']}` was interrupted") from error
        except ray.exceptions.RayError as error:  # for example the worker was killed, or has not enough memory
            yield place, failure(f"the Ray task ended: {type(error).__name__}")


def _submit(ray: Any, job: Job, resources: dict[str, float]) -> Any:
    uses_gpu = job["device"] == "cuda" or (job["device"] == "auto" and resources.get("GPU", 0) >= 1)
    cpus = max(1, min(job["threads"], int(resources.get("CPU", 1))))
    task = ray.remote(run_job).options(num_cpus=cpus, num_gpus=int(uses_gpu), max_retries=0)
    return task.remote(job)


def _python_path() -> str:
    """Returns a value of `PYTHONPATH` with which other processes can import this package."""
    folder = str(Path(geojepa_cli.__file__).resolve().parents[1])
    return os.pathsep.join(part for part in (folder, os.environ.get("PYTHONPATH", "")) if part)
