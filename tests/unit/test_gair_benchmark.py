"""`benchmarks/gair.py` on a tiny region, and its count of operations against that of PyTorch."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from painted_store import start_gair, write_painted
from synthetic_workspace import add_region
from torch.utils.flop_counter import FlopCounterMode
from training import fixed_batch

from geojepa_cli import Workspace

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("model.tag_dim=16", "model.embed_dim=16", "model.depth=1", "model.num_heads=2", "model.patch_px=56")
SMALL += ("model.location_features=4", "model.location_dim=8", "loss.queue=40", "data.min_entities=1")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("gair_benchmark", ROOT / "benchmarks/gair.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys.modules["machine"], "GEMM_SIZES", ((64, 64, 64),))
    monkeypatch.setattr(sys.modules["machine"], "GEMM_S", 0.001)
    return module


def test_the_benchmark_prints_its_figures_as_json(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_region(Workspace(tmp_path), "oak", seed=1, n_tiles=60, with_images=True)
    add_region(Workspace(tmp_path), "bare", seed=2, n_tiles=20, corner=(19000, 25000))  # without images
    sets = [word for setting in SMALL for word in ("--set", setting)]
    given = ["--workspace", str(tmp_path), "--threads", "1", "--warmup", "1", "--steps", "4", "--seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", ["gair.py", *given, "--tiles", "6", "--queries", "20", *sets])
    script.main()
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] >= 4 and found["queries_per_step"] == 20 and found["queue"] == 40
    assert 4 <= found["tiles_per_step"] <= 8
    names = ("step_s", "queries_per_s", "peak_memory_gb", "gflops", "gemm_peak_gflops")
    assert all(found[name] > 0 for name in names)
    assert found["share_of_peak"] == pytest.approx(found["gflops"] / found["gemm_peak_gflops"], rel=0.01)


@pytest.mark.parametrize("decoder", ["mlp", "linear", "bilinear"])
@pytest.mark.parametrize("encoding", ["fourier", "harmonics"])
def test_the_counted_operations_are_those_that_pytorch_counts(
    script: Any, decoder: str, encoding: str, tmp_path: Path
) -> None:
    changes = [f"model.decoder={decoder}", f"model.location_encoding={encoding}", "model.location_layers=2"]
    model, data, config = start_gair(write_painted(tmp_path).folder, *changes)
    prepared = model.prepare_input(fixed_batch(data, 12, 0), torch.Generator().manual_seed(0))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model._losses(prepared)
    images, queries = len(prepared.images), len(prepared.queries.entity)
    attention = 4.0 * images * config.model.tokens_per_image**2 * config.model.embed_dim  # PyTorch does not count it
    counted = counter.get_total_flops()
    expected = script.step_flops(config, images, queries) / 3.0
    assert min(abs(expected - counted), abs(expected - attention - counted)) < 0.02 * expected
