"""`benchmarks/scale.py` on tiny regions: every point has its size, its tokens and the difference from its own start."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from synthetic_workspace import add_region

from geojepa_cli import Workspace

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import scale, scale_picture, transfer
from benchmarks.variants import Variant

SMALL = {"model.tag_dim": 16, "model.embed_dim": 16, "model.depth": 1, "model.num_heads": 2, "train.batch_tokens": 512}
SIZES = {"tiny-2-layers": Variant("tiny.yaml", {**SMALL, "model.depth": 2})}


def test_points_are_compared_with_the_first_weights_of_their_size_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Workspace(tmp_path / "workspace")
    add_region(made, "tested", 5, 120)
    add_region(made, "apart", 7, 60, corner=(19000, 25956))
    monkeypatch.setattr(transfer, "SPLITS", {"dev": ("tested",)})
    monkeypatch.setattr(transfer, "TASKS", ("building_count", "max_speed"))
    monkeypatch.setattr(transfer, "FOLDS", 3)
    monkeypatch.setattr(transfer, "VARIANTS", {"tiny": Variant("tiny.yaml", SMALL)})
    monkeypatch.setattr(transfer, "SIZES", SIZES)
    monkeypatch.setattr(scale, "SIZES", SIZES)
    out = tmp_path / "scale.json"
    given = ("--tokens", "512", "--tokens", "1024", "--size-tokens", "512", "--seeds", "1", "--threads", "1")
    scale.main(["--workspace", str(made.root), *given, "--out", str(out)])
    result = json.loads(out.read_text(encoding="utf-8"))

    starts = ["tiny (first weights)", "tiny-2-layers (first weights)"]
    trained = ["tiny, 512 tokens", "tiny, 1,024 tokens", "tiny-2-layers, 512 tokens"]
    points = result["points"]
    assert set(points) == {*starts, *trained}
    tokens = [points[name]["tokens_seen"] for name in [starts[0], *trained[:2]]]
    assert tokens[0] == 0 < tokens[1] < tokens[2]
    assert points[trained[2]]["parameters"] > points[trained[0]]["parameters"]
    steps = {one.name: one.counts["steps"] for one in made.artifacts("models")}
    assert steps["transfer-tiny-first-0"] == 0 and steps["transfer-tiny-2-layers-0"] == 1

    capsys.readouterr()
    scale_picture.main([str(out), str(tmp_path / "scale.png")])
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    assert len(rows) == 2 * (len(points) + 2)
    found = result["masked"]["linear two-part"][trained[2]]
    expected = found["score"] - result["masked"]["linear two-part"][starts[1]]["score"]
    row = next(one for one in rows if one[:2] == ["masked", "tiny-2-layers"] and one[5])
    assert float(row[4].split()[0]) == pytest.approx(found["score"], abs=5e-4)
    assert float(row[5].split()[0].replace("−", "-")) == pytest.approx(expected, abs=1e-3)
