"""Jobs for tests of worker processes, which import this module."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TypedDict

from geojepa_cli.errors import InterruptedRunError
from geojepa_cli.stages.workers import Work


class Job(TypedDict):
    """A job: what to do, a number to return, and a folder for marks."""

    do: str
    number: int
    folder: str


class Done(TypedDict):
    """Number of the job, process that ran it, and the reason why it failed."""

    number: int
    process: int
    error: str


def run(job: Job) -> Done:
    """Runs a job."""
    mark = Path(job["folder"]) / f"{job['number']}"
    mark.write_text(f"{mark.read_text() if mark.exists() else ''}x")
    if job["do"] == "print":
        print("noise on stdout\n{}", flush=True)
        os.write(1, b"noise below Python\n")
    if job["do"] == "fail":
        raise ValueError("broken on purpose")
    if job["do"] == "die" or (job["do"] == "die once" and mark.read_text() == "x"):
        os.kill(os.getpid(), signal.SIGKILL)
    if job["do"] == "end":
        sys.exit(3)
    if job["do"] == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    if job["do"] == "interrupt":
        raise InterruptedRunError("stopped")
    if job["do"] == "wait":
        time.sleep(60)
    return {"number": job["number"], "process": os.getpid(), "error": ""}


def failed(reason: str) -> Done:
    """Returns the result of a job that failed."""
    return {"number": -1, "process": 0, "error": reason}


def work(retries: int = 0, reuse: bool = True) -> Work[Job, Done]:
    """Returns how these jobs are run."""
    return Work(run, failed, lambda job: f"job {job['number']}", retries, reuse)
