"""`benchmarks/protocols.py`, `late_decline.py`, `city.py` and `image_pairs.py` on tiny regions."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.stages.embedding_model import find_model

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    **{"model.tag_dim": 16, "model.embed_dim": 16, "model.depth": 1, "model.num_heads": 2, "model.summary_dim": 8},
    **{"model.predictor_dim": 16, "model.predictor_depth": 1, "model.predictor_heads": 2},
}


@pytest.fixture
def transfer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`benchmarks/transfer.py` with a small model and two tasks. The other scripts import it."""
    monkeypatch.syspath_prepend(str(ROOT))
    import benchmarks.transfer as module
    from benchmarks.variants import Variant

    monkeypatch.setattr(module, "SPLITS", {"dev": ("tested",)})
    monkeypatch.setattr(module, "TASKS", ("building_count", "max_speed"))
    monkeypatch.setattr(module, "FOLDS", 3)
    monkeypatch.setattr(module, "VARIANTS", {"tiny": Variant("tiny.yaml", SMALL)})
    return module


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    add_region(made, "tested", 5, 120)
    add_region(made, "apart", 7, 60, corner=(19000, 25956))
    return made


def test_each_model_has_the_protocol_of_its_name(transfer: Any, workspace: Workspace) -> None:
    import benchmarks.protocols as script

    out = workspace.root / "protocols.json"
    given = ("--workspace", str(workspace.root), "--seeds", "1", "--tokens", "1", "--threads", "1", "--out", str(out))
    script.main(given)
    result = json.loads(out.read_text(encoding="utf-8"))
    table = result["masked"]["linear"]
    assert {"transfer", "unseen groups", "seen", "first weights", "tagpool", "tagpool-counts"} < set(table)
    assert set(table["seen"]["differences"]) == {
        *("tagpool-counts", "first weights", "transfer", "unseen groups", "dummy")
    }
    groups = {
        name: set(workspace.find("models", f"{name}-tiny-0").file("trained_groups.txt").read_text().split())
        for name in ("transfer", "unseen", "seen")
    }
    assert groups["transfer"] | groups["unseen"] < groups["seen"] and groups["unseen"] - groups["transfer"]
    with pytest.raises(SystemExit, match="expected the protocol `unseen groups` of seen-tiny-0"):
        transfer.test(
            workspace,
            argparse.Namespace(head=["linear"], threads=1),
            {"unseen groups": [find_model(workspace, "seen-tiny-0")]},
            [workspace.find("tasks", "tested.building_count")],
            masked=True,
            fold=0,
        )


def test_weights_of_all_kept_steps_are_compared(
    transfer: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import benchmarks.late_decline as script

    monkeypatch.setattr(script, "REGIONS", ("apart",))
    monkeypatch.setattr(script, "VARIANTS", {"t": {**SMALL, "train.accumulation": 1, "train.batch_tokens": 300}})
    out = workspace.root / "decline"
    script.main(
        ["--workspace", str(workspace.root), "--steps", "6", "--parts", "3", "--threads", "1", "--out", str(out)]
    )
    found = json.loads((out / "decline.json").read_text(encoding="utf-8"))["t-0"]
    assert set(found["scores"]) == {"2", "4", "6"}
    best = min(found["scores"], key=found["scores"].get)
    assert found["best_step"] == int(best)
    expected = found["scores"]["6"] - found["scores"][best]
    assert found["last_minus_best"]["value"] == pytest.approx(expected, abs=1e-4)
    assert (out / "t-0.png").read_bytes().startswith(b"\x89PNG")
    made = workspace.find("models", "decline-t-0")
    assert len(list(made.path.glob("weights-step-*"))) == 2


def test_a_figure_that_prefers_better_weights_has_a_positive_correlation(transfer: Any) -> None:
    import benchmarks.late_decline as script

    scores = (0.9, 0.7, 0.8, 0.6)  # lower is better
    lines: list[dict[str, Any]] = [{"step": 0, "loss": 9.0, "rankme_tiles": 99.0}]  # without a score
    for step, score in enumerate(scores, 1):
        figures = {"loss": 10 * score, "rankme_tiles": 100 * score, "probe": 1 - score, "rankme_tokens": 5.0}
        lines.append({"step": step, "score": score, **figures})
    assert script.correlations(lines) == {"loss": 1.0, "rankme_tiles": -1.0, "probe": 1.0}


def test_models_of_the_city_are_compared_on_the_tiles_that_they_saw(
    transfer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import benchmarks.city as script

    workspace = Workspace(tmp_path / "city")
    add_region(workspace, "demo", 5, 120)
    out = tmp_path / "city.json"
    given = ("--workspace", str(workspace.root), "--variant", "tiny", "--seeds", "2", "--tokens", "1", "--threads", "1")
    script.main([*given, "--out", str(out)])
    table = json.loads(out.read_text(encoding="utf-8"))["masked"]["linear"]
    assert set(table["tagpool-counts"]["differences"]) == {"tiny", "dummy"}
    refs = ["city-tiny-0", "city-tiny-1"]
    found = stages.probe(workspace, ["demo.building_count"], refs, masked=True, head="linear")
    report = json.loads(found[0].file("report.json").read_text(encoding="utf-8"))
    rows = [one["mae"]["value"] for one in report["scores"] if one["model"].startswith("city-tiny")]
    dummy = next(one["mae"]["value"] for one in report["scores"] if one["model"] == "dummy")
    assert table["tiny"]["by_task"]["building_count"] == pytest.approx(sum(rows) / 2 / dummy, rel=1e-3)
    assert {one["protocol"] for one in report["protocols"].values()} == {"seen", "no pretraining"}


def test_pairs_of_map_and_image_leave_out_one_tile(transfer: Any, tmp_path: Path) -> None:
    import benchmarks.image_pairs as script

    workspace = Workspace(tmp_path / "pairs")
    region = add_region(workspace, "pair", 5, 40)
    (task,) = stages.build_tasks(workspace, region, ["building_count"], folds=2, split="random", min_entities=1)
    found = script.compare(workspace, task, {"a": ["tagpool"], "b": ["tagpool", "tagpool"], "c": ["tag-counts"]}, False)
    assert found["mae_ratio"]["dummy"] == 1 and found["b - a"] == [0, 0, 0]
    assert found["mae_ratio"]["c"] < 1  # the label is one of the counts
    x, labels = script.vectors_and_labels(workspace, task, "tagpool", False)
    assert len(x) == len(labels) == found["tiles"]
    changed = labels.copy()
    changed[3] += 1000  # the label of a tile does not reach its own prediction
    before, after = script.leave_one_out(x, labels), script.leave_one_out(x, changed)
    assert after[3] == pytest.approx(before[3]) and not np.allclose(np.delete(after, 3), np.delete(before, 3))
