"""Training on a GPU: the same losses as on a CPU, and steps that do not wait for the GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training import config_of, open_data, write_region

from geojepa_cli.config.names import METRICS
from geojepa_cli.models.jepa.pretraining import build
from geojepa_cli.train.ahead import Ahead
from geojepa_cli.train.log import read_metrics
from geojepa_cli.train.loop import _Run, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
LARGER = ("model.embed_dim=32", "model.num_heads=2", "model.predictor_dim=32", "model.predictor_heads=2")


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_region(tmp_path_factory.mktemp("regions") / "oak@000000000000")


@pytest.mark.parametrize("shared", ["true", "false"])
def test_losses_on_a_gpu_equal_those_on_a_cpu(region: Path, tmp_path: Path, shared: str) -> None:
    config = config_of("train.max_steps=6", "train.log_every=1", f"model.shared_context={shared}", *LARGER)
    logs = []
    for device in ("cpu", "cuda"):
        data = open_data(region, config).to(torch.device(device))
        (tmp_path / device).mkdir()
        train(build(config, data.inputs, 0), data, config.train, tmp_path / device, 0)
        logs.append([line["loss"] for line in read_metrics(tmp_path / device / METRICS) if "loss" in line])
    assert logs[1] == pytest.approx(logs[0], rel=2e-3)


@pytest.mark.parametrize("compiled", ["true", "false"])
def test_a_step_does_not_wait_for_the_gpu(region: Path, tmp_path: Path, compiled: str) -> None:
    switches = ("train.precision=bfloat16", f"train.compile={compiled}", "model.shared_context=true")
    config = config_of("train.max_steps=9", *switches, *LARGER)
    data = open_data(region, config).to(torch.device("cuda"))
    run = _Run(build(config, data.inputs, 0), data, config.train, tmp_path, 0)
    steps = Ahead(run.prepared(), data.device)
    for _ in range(2):
        run._step(steps)  # compiles, and makes the state of the optimiser
    ready = iter([next(steps) for _ in range(2 * config.train.accumulation)])
    steps.close()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            run._step(ready)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        run.close()
    run._check()
    assert run.progress.step == 4
