"""A stage killed at any moment: the next run completes with the same bytes, and removes what the killed one left."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commandline import COMMAND, run

SMALL = ["train.max_steps=12", "train.checkpoint_every=3", "train.batch_tokens=512"]
PRETRAIN = ["pretrain", "--config", "tiny.yaml", "--threads", "2", *(word for s in SMALL for word in ("--set", s))]
STAGES = {"tile": ["tile"], "process": ["process", "--text-encoder", "none"], "pretrain": PRETRAIN}
OUTPUT = {"tile": "tiles", "process": "processed", "pretrain": "models"}


def data_files(workspace: Path, kind: str) -> dict[str, str]:
    """SHA-256 of each data file of the only artifact of a kind, next to which nothing is left; without times."""
    assert not [path for path in (workspace / kind).iterdir() if path.suffix in (".lock", ".partial")]
    (artifact,) = (path for path in (workspace / kind).iterdir() if path.is_dir())
    files = sorted(p for p in artifact.rglob("*") if p.is_file() and p.name != "timing.json")
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def kill_after(seconds: float, arguments: list[str], cwd: Path) -> bool:
    """Starts geojepa and kills it, but not its child, which must end too; False where it had ended before."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return True
    return False


def prepared(tmp_path: Path, stage: str, extract: Path) -> Path:
    """A folder with a workspace that has everything that `stage` reads."""
    folder = tmp_path / "prepared"
    folder.mkdir()
    run("fetch", "--pbf", extract, "--name", "r", cwd=folder)
    if stage != "tile":
        run("tile", cwd=folder)
    if stage == "pretrain":
        run("process", cwd=folder)
    return folder


def check_kills(tmp_path: Path, stage: str, extract: Path, kills: int) -> None:
    source = prepared(tmp_path, stage, extract)
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(source, undisturbed)
    started = time.monotonic()
    run(*STAGES[stage], cwd=undisturbed)
    duration = time.monotonic() - started
    expected = data_files(undisturbed / "workspace", OUTPUT[stage])

    generator = random.Random(7)
    disturbed, killed = tmp_path / "disturbed", 0
    shutil.copytree(source, disturbed)
    while killed < kills:
        if kill_after(generator.uniform(0, duration * 1.1), STAGES[stage], disturbed):
            killed += 1
        if generator.random() < 0.5:  # after some kills a whole run, after others a killed one again
            run(*STAGES[stage], cwd=disturbed)
            assert data_files(disturbed / "workspace", OUTPUT[stage]) == expected
            shutil.rmtree(disturbed / "workspace" / OUTPUT[stage])
    run(*STAGES[stage], cwd=disturbed)
    assert data_files(disturbed / "workspace", OUTPUT[stage]) == expected


# Two kills of `pretrain` take a minute. `test_pretrain.py` kills it once in the quick tests.
@pytest.mark.parametrize("stage", ["tile", "process", pytest.param("pretrain", marks=pytest.mark.slow)])
def test_a_killed_stage_completes_on_the_next_run_with_the_same_bytes(tmp_path: Path, shared: Path, stage: str) -> None:
    check_kills(tmp_path, stage, shared / "osm/harrisburg.osm.pbf", kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_twenty_kills(tmp_path: Path, shared: Path, stage: str) -> None:
    check_kills(tmp_path, stage, shared / "osm/state-college.osm.pbf", kills=20)
