"""Jobs in worker processes: results, noise, failures, kills, and the end of all processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from worker_functions import Done, Job, work

from geojepa_cli.errors import InterruptedRunError
from geojepa_cli.stages.workers import Work, run_jobs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))  # workers import `worker_functions`
    return tmp_path


def jobs_of(folder: Path, *what: str) -> list[Job]:
    return [{"do": do, "number": number, "folder": str(folder)} for number, do in enumerate(what)]


def results(folder: Path, how: Work[Job, Done], *what: str) -> list[Done]:
    """Results in the order of the jobs."""
    found = dict(run_jobs(how, jobs_of(folder, *what), 2, False, lambda job: None))
    return [found[place] for place in range(len(what))]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_results_belong_to_their_jobs_whatever_the_jobs_print(folder: Path) -> None:
    found = results(folder, work(), "return", "print", "return", "print", "return")
    assert [one["number"] for one in found] == [0, 1, 2, 3, 4]
    processes = {one["process"] for one in found}
    assert len(processes) <= 2 and os.getpid() not in processes
    assert not any(map(is_running, processes))


def test_without_reuse_each_job_has_its_own_process(folder: Path) -> None:
    assert len({one["process"] for one in results(folder, work(reuse=False), "return", "return", "return")}) == 3


@pytest.mark.parametrize(
    ("do", "reason"), [("fail", "the process of job 1 ended: ValueError: broken on purpose"), ("end", "job 1 ended")]
)
def test_a_job_that_ends_its_process_fails_alone(folder: Path, do: str, reason: str) -> None:
    first, second, third = results(folder, work(retries=1), "return", do, "return")
    assert reason in second["error"] and (folder / "1").read_text() == "x"
    assert first["number"] == 0 and third["number"] == 2


def test_a_killed_job_is_run_again_and_then_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    always, once, other = results(folder, work(retries=1), "die", "die once", "return")
    assert always["error"] == "the process of job 0 was killed by signal 9; perhaps not enough memory"
    assert (folder / "0").read_text() == (folder / "1").read_text() == "xx"
    assert once["number"] == 1 and other["number"] == 2
    assert "the process of job 1 was killed by signal 9; starting it again" in capsys.readouterr().err


def test_without_retries_a_killed_job_fails_at_once(folder: Path) -> None:
    (found,) = results(folder, work(), "die once")
    assert "killed by signal 9" in found["error"] and (folder / "0").read_text() == "x"


@pytest.mark.parametrize("do", ["terminate", "interrupt"])
def test_a_stopped_job_stops_the_others(folder: Path, do: str) -> None:
    started = time.monotonic()
    with pytest.raises(InterruptedRunError, match="job 1 was interrupted"):
        results(folder, work(retries=1), "wait", do, "return")
    assert time.monotonic() - started < 50  # the first job would wait for a minute
    assert not (folder / "2").exists()


def test_one_worker_is_this_process(folder: Path) -> None:
    ((place, done),) = run_jobs(work(), jobs_of(folder, "return"), 1, False, lambda job: None)
    assert (place, done["process"]) == (0, os.getpid())
