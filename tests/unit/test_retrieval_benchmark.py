"""`benchmarks/retrieval.py` on tiny regions: figures are means over training seeds, and rows are those asked for."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import retrieval, transfer
from benchmarks.variants import Variant

SMALL = {"model.tag_dim": 16, "model.embed_dim": 16, "model.depth": 1, "model.num_heads": 2}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two regions, a feature, an entity task, and a model of two training seeds."""
    made = Workspace(tmp_path_factory.mktemp("retrieval") / "workspace")
    add_region(made, "tested", 1, 400)
    apart = add_region(made, "apart", 2, 30, corner=(19000, 25956))
    (made.root / "church.yaml").write_text("{name: church, title: church, has: [{tags: [building=church]}]}")
    (made.root / "roads.yaml").write_text("{name: roads, title: roads, key: highway, kinds: [point, line, area]}")
    for seed in range(2):
        settings = {**SMALL, "train.max_steps": 1}
        stages.pretrain(made, "tiny.yaml", apart, settings, f"transfer-tiny-{seed}", seed=seed)
    return made


def run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, *more: str) -> dict[str, Any]:
    monkeypatch.setattr(transfer, "SPLITS", {"dev": ("tested",)})
    monkeypatch.setattr(transfer, "VARIANTS", {"tiny": Variant("tiny.yaml", SMALL)})
    monkeypatch.setattr(retrieval, "BASELINES", ("tagpool",))
    out = workspace.root / "retrieval.json"
    given = ("--workspace", str(workspace.root), "--seeds", "2", "--threads", "1", "--out", str(out))
    retrieval.main([*given, *more])
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def test_figures_are_means_over_seeds_plain_and_masked(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [f"--task={workspace.root / name}" for name in ("church.yaml", "roads.yaml")]
    result = run(workspace, monkeypatch, "--model=tiny", "--model=tiny-first", "--space=raw", "--space=centred", *tasks)
    assert set(result["tasks"]) == {"church", "roads"}
    protocols = {"tiny": "transfer", "tiny-first": "no pretraining", "tagpool": "no pretraining"}
    for found in result["tasks"]["church"], result["tasks"]["roads"]:
        assert set(found) == {"plain", "masked"}
        for table in found.values():
            rows = [(one["model"], one["space"]) for one in table["scores"]]
            assert rows == [(name, space) for space in ("raw", "centred") for name in protocols]
            assert table["protocols"] == protocols and len(table["differences"]) == 2 * 3 + 3
    table = result["tasks"]["church"]["plain"]
    lines = []
    for seed in range(2):
        made = workspace.find("retrieval", f"church.transfer-tiny-{seed}")
        ref = workspace.find("models", f"transfer-tiny-{seed}").ref
        made = workspace.newest("retrieval", made.name, lambda inputs, params, ref=ref: not params["masked"])
        assert made is not None and made.params["models"][0] == ref
        lines.append(list(csv.DictReader(made.file("queries.csv").open(newline=""))))
    values = [[float(one[f"transfer-tiny-{seed} (raw) precision"]) for one in lines[seed]] for seed in range(2)]
    assert table["scores"][0]["precision"]["value"] == pytest.approx(np.mean(values), abs=1e-5)
    differences = {(one["a"]["model"], one["b"]["model"], one["a"]["space"]): one for one in table["differences"]}
    scores = {(one["model"], one["space"]): one["average_precision"]["value"] for one in table["scores"]}
    found = differences["tiny", "tagpool", "raw"]["average_precision"]["value"]
    assert found == pytest.approx(scores["tiny", "raw"] - scores["tagpool", "raw"], abs=2e-6)
