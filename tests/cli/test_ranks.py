"""`torchrun -m geojepa_cli pretrain`: one artifact and one output, after kills and SIGTERM, on two processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from commandline import geojepa
from safetensors.torch import load_file
from synthetic_workspace import add_region, new_workspace

from geojepa_cli.config.names import CHECKPOINT
from geojepa_cli.train.checkpoint import checkpoint_step

STEPS = 150
SETTINGS = ("model.tag_dim=16", "model.embed_dim=32", "model.depth=1", "model.num_heads=2", "train.batch_tokens=300")
SETTINGS += ("train.checkpoint_every=7", "train.log_every=10", f"train.max_steps={STEPS}", "train.accumulation=2")
COMMAND = ["pretrain", "--config", "tiny.yaml", "--threads", "1", *(word for s in SETTINGS for word in ("--set", s))]
# addresses as numbers, since a bare container cannot look up `localhost` or its own name
ADDRESSES = ["--local-addr", "127.0.0.1", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", *ADDRESSES, "--nproc-per-node", "2", "-m", "geojepa_cli"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    add_region(new_workspace(tmp_path / "workspace"), "oak", seed=1)
    return tmp_path


def torchrun(place: Path, *changes: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TORCHRUN, *COMMAND, *changes],
        cwd=place,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for_step(process: subprocess.Popen[str], folder: Path, step: int) -> None:
    while (checkpoint_step(folder / CHECKPOINT) or 0) < step:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def children(process: int) -> list[int]:
    """Ids of the processes that `torchrun` started, in order of their ranks."""
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.slow
def test_killed_and_terminated_runs_on_two_processes_end_with_the_model_of_one(place: Path) -> None:
    models = place / "workspace" / "models"
    done = geojepa(*COMMAND, cwd=place)
    assert done.returncode == 0, done.stderr
    (model,) = models.iterdir()
    model.rename(place / "expected")
    partial = model.with_name(model.name + ".partial")

    with torchrun(place) as running:
        wait_for_step(running, partial, 7)
        os.kill(children(running.pid)[1], signal.SIGKILL)
        out, message = running.communicate(timeout=100)
    assert running.returncode != 0 and out == "" and "bug of geojepa" not in message
    assert [path.name for path in models.iterdir()] == [partial.name]
    reached = checkpoint_step(partial / CHECKPOINT)
    assert reached is not None and reached < STEPS

    with torchrun(place) as running:
        wait_for_step(running, partial, reached + 7)
        running.send_signal(signal.SIGTERM)
        out, message = running.communicate(timeout=100)
    step = checkpoint_step(partial / CHECKPOINT)
    assert out == "" and step is not None
    assert message.count("interrupted; the last checkpoint is from") == 1
    assert f"the last checkpoint is from step {step:,}" in message
    assert "torchrun --nproc-per-node 2 -m geojepa_cli pretrain" in message
    assert [path.name for path in models.iterdir()] == [partial.name]

    with torchrun(place, "--json") as running:
        out, message = running.communicate(timeout=100)
    assert running.returncode == 0, message
    assert message.count(f"training resumed from the checkpoint at step {step:,}") == 1
    assert out.count('"command": "pretrain"') == 1 and [path.name for path in models.iterdir()] == [model.name]
    first, second = (load_file(folder / "weights.safetensors") for folder in (place / "expected", model))
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], atol=1e-3, rtol=0, msg=name)


def test_too_small_accumulation_is_one_error_with_the_command_to_use(place: Path) -> None:
    with torchrun(place, "--set", "train.accumulation=1") as running:
        out, message = running.communicate(timeout=100)
    assert running.returncode != 0 and out == ""
    assert message.count("error: `train.accumulation` is 1, but 2 processes need at least 2") == 1
    assert "--set train.accumulation=2" in message
    assert not (place / "workspace" / "models").exists()
