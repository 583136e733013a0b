"""Runs jobs: one after another, in several processes of this computer, or on a Ray cluster.

A job and its result are dicts of JSON values, so that any process can run the job.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any, Generic, TypeVar

import geojepa_cli
from geojepa_cli import console, hints
from geojepa_cli.errors import GeojepaError, InterruptedRunError, MissingExtraError

JobT = TypeVar("JobT", bound=Mapping[str, object])
DoneT = TypeVar("DoneT", bound=Mapping[str, object])
Results = Generator[tuple[int, DoneT], None, None]  # index of each job, and its result

WORKER = "geojepa_cli.stages.worker"
_STOPPED = (130, -signal.SIGTERM, -signal.SIGINT)  # exit codes of a process that the user stopped


@dataclass(frozen=True)
class Work(Generic[JobT, DoneT]):
    """Policy for running jobs of one kind. The keys `device` and `threads` of a job are what it needs.

    Attributes:
        run: function of a module that runs a job and returns its result. It raises an error only if it is stopped.
        failed: function that returns the result of a job whose process ended. Its argument is the reason.
        title: function that returns the name of a job for messages, such as "trial `small`".
        retries: number of times that a job is run again if its process was killed.
        reuse: run several jobs in the same process. False: each job has a new process.
    """

    run: Callable[[JobT], DoneT]
    failed: Callable[[str], DoneT]
    title: Callable[[JobT], str]
    retries: int = 0
    reuse: bool = False


def check_ray() -> None:
    """Checks that Ray is installed.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    if util.find_spec("ray") is None:
        raise MissingExtraError("`--ray` needs the package `ray`", hints.shell("pip", "install", "geojepa[scale]"))


def run_jobs(
    work: Work[JobT, DoneT], jobs: Sequence[JobT], workers: int, ray: bool, start: Callable[[JobT], None]
) -> Results[DoneT]:
    """Runs jobs. Yields the index of each job in `jobs` and its result, as soon as the job is finished.

    Args:
        work: how to run a job.
        jobs: jobs to run.
        workers: number of jobs that run at the same time; 0 for as many as the Ray cluster can run.
        ray: run the jobs on Ray.
        start: function that is called with each job before the job starts.

    Raises:
        InterruptedRunError: the command was stopped with Ctrl-C, or a job with SIGTERM.
    """
    if ray:
        yield from _with_ray(work, jobs, workers, start)
    elif workers > 1:
        yield from _in_processes(work, jobs, workers, start)
    else:
        for place, job in enumerate(jobs):
            start(job)
            yield place, work.run(job)


def describe(error: BaseException) -> str:
    """Describes the error of a job in one line."""
    if isinstance(error, GeojepaError):
        return error.message
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return "not enough memory"
    return f"{type(error).__name__}: {text}".rstrip(": ")[:300]


class _Process:
    """A process that runs jobs, one after another."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed at the end
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER, f"{function.__module__}:{function.__qualname__}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": _python_path()},
        )

    def run(self, job: Mapping[str, object]) -> str | None:
        """Returns the result of a job as JSON. Returns None if the process ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        line = self._process.stdout.readline()
        return line if line.endswith("\n") else None

    def end(self) -> tuple[int, str]:
        """Ends the process. Returns its exit code, and the last line that it wrote to stderr."""
        try:
            self._process.communicate()
        except BrokenPipeError:
            self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        self._errors.close()
        return self._process.returncode, lines[-1][:300] if lines else "no message"

    def stop(self) -> None:
        """Sends SIGTERM, after which training saves a checkpoint."""
        self._process.send_signal(signal.SIGTERM)


class _Pool(Generic[JobT, DoneT]):
    """Processes that run jobs at the same time. Each thread that calls `run` has one of them."""

    def __init__(self, work: Work[JobT, DoneT]) -> None:
        self._work = work
        self._idle: list[_Process] = []
        self._running: set[_Process] = set()
        self._stopped = False
        self._lock = threading.Lock()  # so that no process starts after the others were stopped

    def run(self, job: JobT) -> DoneT:
        """Runs a job, again if its process was killed.

        Raises:
            InterruptedRunError: the process was stopped with Ctrl-C or SIGTERM.
        """
        title = self._work.title(job)
        for left in range(self._work.retries, -1, -1):
            process = self._take(title)
            result = process.run(job)
            if result is not None and self._work.reuse:
                self._idle.append(process)
            else:
                code, message = process.end()
            self._running.discard(process)
            if result is not None:
                done: DoneT = json.loads(result)
                return done
            if code in _STOPPED:
                self._stopped = True
                raise InterruptedRunError(f"{title} was interrupted")
            if code >= 0:
                return self._work.failed(f"the process of {title} ended: {message}")
            reason = f"the process of {title} was killed by signal {-code}"
            if left:
                console.note(f"{reason}; starting it again")
        return self._work.failed(f"{reason}; perhaps not enough memory")

    def end(self) -> None:
        """Ends the processes that have no job."""
        while self._idle:
            self._idle.pop().end()

    def stop(self) -> None:
        """Stops all processes, and starts no others."""
        with self._lock:
            self._stopped = True
            for process in [*self._running, *self._idle]:
                process.stop()

    def _take(self, title: str) -> _Process:
        with self._lock:
            if self._stopped:
                raise InterruptedRunError(f"{title} was interrupted")
            process = self._idle.pop() if self._idle else _Process(self._work.run)
            self._running.add(process)
            return process


def _in_processes(
    work: Work[JobT, DoneT], jobs: Sequence[JobT], workers: int, start: Callable[[JobT], None]
) -> Results[DoneT]:
    processes = _Pool(work)

    def run(job: JobT) -> DoneT:
        start(job)
        return processes.run(job)

    try:
        with ThreadPoolExecutor(workers) as pool:
            places = {pool.submit(run, job): place for place, job in enumerate(jobs)}
            try:
                for future in as_completed(places):
                    yield places[future], future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                processes.stop()
                raise
    finally:
        processes.end()


def _with_ray(
    work: Work[JobT, DoneT], jobs: Sequence[JobT], workers: int, start: Callable[[JobT], None]
) -> Results[DoneT]:
    """Runs each job as a Ray task: on the cluster of `RAY_ADDRESS` or, without it, on this computer.

    All machines need the workspace at the same path.
    """
    ray = _start_ray()
    resources = ray.cluster_resources()
    waiting, pending = list(range(len(jobs)))[::-1], dict[Any, int]()
    while waiting or pending:
        while waiting and (workers < 1 or len(pending) < workers):
            place = waiting.pop()
            start(jobs[place])
            pending[_submit(ray, work, jobs[place], resources)] = place
        (finished, *_), _ = ray.wait(list(pending), num_returns=1)
        place = pending.pop(finished)
        title = work.title(jobs[place])
        try:
            yield place, ray.get(finished)
        except ray.exceptions.RayTaskError as error:
            raise InterruptedRunError(f"{title} was interrupted") from error
        except ray.exceptions.RayError as error:  # for example the worker was killed, or has not enough memory
            yield place, work.failed(f"the Ray task of {title} ended: {type(error).__name__}")


def _start_ray() -> Any:
    """Returns the module `ray`, connected to a cluster.

    Raises:
        GeojepaError: there is no cluster at `RAY_ADDRESS`, or Ray does not start.
    """
    import ray

    if ray.is_initialized():
        return ray
    address = os.environ.get("RAY_ADDRESS")
    local = {} if address else {"env_vars": {"PYTHONPATH": _python_path()}}
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    try:
        ray.init(runtime_env=local, include_dashboard=False if local else None, **quiet)
    except Exception as error:  # Ray raises plain exceptions
        where = f"the Ray cluster at RAY_ADDRESS=`{address}` cannot be reached" if address else "Ray does not start"
        raise GeojepaError(f"{where}: {describe(error)}", hints.again().noting("to try again")) from error
    return ray


def _submit(ray: Any, work: Work[JobT, DoneT], job: JobT, resources: Mapping[str, float]) -> Any:
    needs: Mapping[str, Any] = job
    uses_gpu = needs["device"] == "cuda" or (needs["device"] == "auto" and resources.get("GPU", 0) >= 1)
    cpus = max(1, min(needs["threads"], int(resources.get("CPU", 1))))
    task = ray.remote(work.run).options(num_cpus=cpus, num_gpus=int(uses_gpu), max_retries=work.retries)
    return task.remote(job)


def _python_path() -> str:
    """Returns a value of `PYTHONPATH` with which other processes can import this package."""
    folder = str(Path(geojepa_cli.__file__).resolve().parents[1])
    return os.pathsep.join(part for part in (folder, os.environ.get("PYTHONPATH", "")) if part)
