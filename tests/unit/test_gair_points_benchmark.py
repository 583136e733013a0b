"""`benchmarks/gair_points.py` on a random region: the figures are those of all queries of all probes."""

from __future__ import annotations

import csv
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_workspace import add_region

from geojepa_cli import Workspace
from geojepa_cli.evaluate.point_groups import Figures, Row

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("model.tag_dim=16", "model.embed_dim=16", "model.depth=1", "model.num_heads=2", "model.patch_px=56")
SMALL += ("model.decoder_dim=8", "model.location_features=4", "model.location_dim=8", "model.location_layers=1")
SMALL += ("ground.queries=32", "loss.queue=50", "train.batch_tokens=400")


def load() -> Any:
    spec = importlib.util.spec_from_file_location("gair_points_benchmark", ROOT / "benchmarks/gair_points.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_figures_are_means_over_models_and_over_the_queries_of_all_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load()
    workspace = Workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1, n_tiles=160, with_images=True)
    sets = [word for setting in SMALL for word in ("--set", setting)]
    given = ["--workspace", str(workspace.root), "--region", "oak", "--steps", "1", "--seeds", "1"]
    given += ["--leave-out", "splits", "--parts", "2"]
    script.main([*given, "--variant", "mlp", *sets, "--out", str(tmp_path / "out.json")])
    found = json.loads(capsys.readouterr().out)["result"]
    assert found == json.loads((tmp_path / "out.json").read_text())
    assert found["protocols"] == ["seen neighbours"] and len(found["training_tiles"]) == 2
    values: dict[tuple[str, str], list[float]] = {}
    for made in workspace.artifacts("point_probes"):
        if made.name.startswith("entity-image"):
            part, seed = made.name.split("-")[-2:]
            name = f"points-mlp-splits-{part}-{seed} (at point) recall_1"
            for line in csv.DictReader(made.file("queries.csv").open(newline="")):
                if (line["search"], line["scope"]) == ("points to tags", "tile"):
                    values.setdefault((line["entity"], line["tile"]), []).append(float(line[name]))
    assert values and {len(one) for one in values.values()} <= {1, 2}  # one or both splits
    first = found["searches"][0]
    assert first["queries"] == len(values) and first["groups"] >= 1
    (score,) = [one for one in first["scores"] if (one["model"], one["reading"]) == ("mlp", "at point")]
    assert score["recall_1"]["value"] == pytest.approx(np.mean([np.mean(one) for one in values.values()]), abs=1e-5)
    for ratio in found["ratios"][0]["recall_1"][1:]:
        (other,) = [one for one in first["scores"] if one["reading"] == ratio["reading"]]
        expected = score["recall_1"]["value"] / other["recall_1"]["value"]
        assert ratio["value"] == pytest.approx(expected, abs=1e-3) and ratio["low"] <= ratio["high"]
    assert {one["model"] for one in found["offset"]["scores"]} == {"mlp"}


def test_a_query_of_several_probes_has_the_mean_of_its_figures() -> None:
    script, row = load(), Row("mlp", "at point")
    one = Figures([np.array([7, 7])], [("node/1", "t"), ("node/2", "t")], {row: [np.array([[0.0], [1.0]])]})
    two = Figures([np.array([7, 9])], [("node/2", "t"), ("node/3", "u")], {row: [np.array([[0.5], [0.25]])]})
    pooled = script.pool([one, two])
    assert pooled.entities == [("node/1", "t"), ("node/2", "t"), ("node/3", "u")]
    assert pooled.of(row).tolist() == [[0.0], [0.75], [0.25]] and pooled.all_groups.tolist() == [7, 7, 9]


def transfer(workspace: Workspace, region: str, test_region: str) -> list[str]:
    sets = [word for setting in SMALL for word in ("--set", setting)]
    given = ["--workspace", str(workspace.root), "--region", region, "--test-region", test_region]
    return [*given, "--steps", "1", "--seeds", "2", "--variant", "mlp", *sets]


def test_a_tested_region_is_tested_whole_and_none_of_it_is_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script, workspace = load(), Workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1, n_tiles=80, with_images=True)
    add_region(workspace, "elm", seed=2, n_tiles=80, with_images=True, corner=(18448, 25956))
    script.main(transfer(workspace, "oak", "elm"))
    found = json.loads(capsys.readouterr().out)["result"]
    assert found["protocols"] == ["transfer"]
    assert (found["region"], found["test_region"]) == (["oak"], ["elm"])
    models = [workspace.find("models", f"points-mlp-{seed}") for seed in range(2)]
    assert found["training_tiles"] == [one.counts["tiles"] for one in models]
    (oak,), (elm,) = (
        [one.full_ref for one in workspace.artifacts("processed") if one.name == n] for n in ("oak", "elm")
    )
    for model in models:
        assert oak in model.inputs and elm not in model.inputs
    for made in workspace.artifacts("point_probes"):
        assert elm in made.inputs and oak not in made.inputs
        groups = {script._group(line["tile"]) for line in csv.DictReader(made.file("queries.csv").open(newline=""))}
        if made.name.startswith("entity-image"):
            assert found["searches"][0]["groups"] == len(groups) == made.counts["groups"]


def test_a_region_next_to_the_tested_one_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1, n_tiles=80, with_images=True)
    add_region(workspace, "elm", seed=2, n_tiles=80, with_images=True)
    with pytest.raises(SystemExit, match="expected the protocol `transfer`, found `seen`: name other regions"):
        load().main(transfer(workspace, "oak", "elm"))
