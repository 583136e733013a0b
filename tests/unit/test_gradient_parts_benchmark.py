"""`benchmarks/gradient_parts.py` on a tiny region."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    **{"model.tag_dim": 16, "model.embed_dim": 16, "model.depth": 1, "model.num_heads": 2, "model.summary_dim": 8},
    **{"model.predictor_dim": 16, "model.predictor_depth": 1, "model.predictor_heads": 2, "train.max_steps": 0},
}


def test_the_gradients_of_the_parts_add_up_to_that_of_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.syspath_prepend(str(ROOT))
    import benchmarks.gradient_parts as script

    workspace = Workspace(tmp_path / "workspace")
    add_region(workspace, "tested", 5, 60)
    model = stages.pretrain(workspace, "tiny.yaml", "tested", set_=SMALL)
    capsys.readouterr()
    given = ("--workspace", str(workspace.root), "--region", "tested", "--batches", "1", "--threads", "1")
    script.main([*given, "--model", str(model.path)])
    found = json.loads(capsys.readouterr().out)["parts"]
    parts = {name: figures for name, figures in found.items() if name != "total"}
    assert set(parts) == {"prediction", "tile", "tags", "regulariser"}
    assert sum(one["loss_share"] for one in parts.values()) == pytest.approx(1.0, abs=1e-3)
    along = sum(one["gradient_norm"] * one["cosine"] for one in parts.values())  # projected onto the total
    assert along == pytest.approx(found["total"]["gradient_norm"], rel=1e-2, abs=1e-3)
    assert all(math.isfinite(one["gradient_norm"]) and one["gradient_norm"] > 0 for one in parts.values())
