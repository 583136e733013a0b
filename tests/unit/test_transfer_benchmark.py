"""`benchmarks/transfer.py` on tiny regions: regions near the tested ones are not trained on, and every row is found."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.config import supervised
from geojepa_cli.evaluate.predictions import read_predictions
from geojepa_cli.workspace.artifact import Artifact

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "transfer.py"
sys.path.insert(0, str(SCRIPT.parents[1]))
SMALL = {"model.tag_dim": 16, "model.embed_dim": 16, "model.depth": 1, "model.num_heads": 2}


@pytest.fixture(scope="module")
def transfer() -> ModuleType:
    """The script as a module, with small models and two tasks."""
    from benchmarks.variants import Variant

    spec = importlib.util.spec_from_file_location("transfer_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # type hints of the module's classes are looked up there
    spec.loader.exec_module(module)
    module.SPLITS = {"dev": ("tested",)}
    module.TASKS = ("building_count", "max_speed")
    module.FOLDS = 3
    module.VARIANTS = {
        "tiny": Variant("tiny.yaml", {**SMALL, "model.predictor_depth": 1}),
        "tag-ae": Variant("tag-ae.yaml", {"model.columns": 40, "model.embed_dim": 16, "model.hidden_dim": 16}),
        "tagformer-lmae": Variant("tagformer-lmae.yaml", SMALL),
    }
    return module


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """`tested`; `copy` with the same tiles under another name; `adjoining` next to it; `apart` elsewhere."""
    made = Workspace(tmp_path_factory.mktemp("transfer") / "workspace")
    add_region(made, "tested", 5, 120)
    add_region(made, "copy", 5, 120)
    add_region(made, "adjoining", 6, 12, corner=(18044, 25956))
    add_region(made, "apart", 7, 60, corner=(19000, 25956))
    return made


def run(module: ModuleType, workspace: Workspace, *more: str) -> dict[str, Any]:
    out = workspace.root / "transfer.json"
    given = ("--workspace", str(workspace.root), "--seeds", "1", "--tokens", "1", "--threads", "1", "--out", str(out))
    module.main([*given, *more])
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def test_every_kind_of_model_is_compared_on_regions_apart_from_those_of_training(
    transfer: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = supervised._read
    monkeypatch.setattr(supervised, "_read", lambda name: read(name) | {"train": {**read(name)["train"], "epochs": 1}})
    stages.build_tasks(workspace, "tested", "max_speed")  # the script must not take this one, which has no folds
    variants = [f"--variant={name}" for name in ("tiny", "tiny-first", "tag-ae", "tagformer-lmae")]
    result = run(
        transfer, workspace, *variants, *(f"--baseline={one}" for one in ("tagpool", "tagpool-counts", "tag-count-mlp"))
    )
    apart = workspace.find("processed", "apart")
    assert result["trained_on"] == [apart.ref] and set(result["left_out"]) == {"copy", "adjoining"}
    protocols = dict.fromkeys(transfer.VARIANTS, "transfer")
    apart_from_training = ("tiny (first weights)", "tagpool", "tagpool-counts", "tag-count-mlp", "boosting on counts")
    protocols |= dict.fromkeys(apart_from_training, "no pretraining")
    assert result["protocols"] == protocols
    for kind in ("masked", "plain"):
        assert set(result[kind]) == {"linear", "linear two-part"}
        for table in result[kind].values():
            assert set(table) == {*protocols, "groups"}
            against = {"tagpool-counts", "dummy", "tiny (first weights)", "boosting on counts"}
            assert set(table["tiny"]["differences"]) == against
            assert all(set(table[name]["by_task"]) == set(transfer.TASKS) for name in protocols)
            difference = table["tiny"]["differences"]["tagpool-counts"]
            parts = [difference["by_task"][task]["value"] for task in transfer.TASKS]
            assert difference["value"] == pytest.approx(sum(parts) / len(parts), abs=1e-9)
        plain, two_part = result[kind]["linear"]["tagpool"], result[kind]["linear two-part"]["tagpool"]
        assert plain["by_task"]["building_count"] == two_part["by_task"]["building_count"]
        assert plain["by_task"]["max_speed"] != two_part["by_task"]["max_speed"]
        for head in ("linear", "linear two-part"):
            assert result[kind][head]["tag-count-mlp"] != plain
        check_boosting(transfer, workspace, result[kind], kind == "masked")
    evaluations = {one.read_json("report.json")["evaluation"] for one in workspace.artifacts("probes")}
    assert evaluations == {"task folds"}
    check_picture(workspace.root / "transfer.json", result, capsys)


def test_one_fold_alone_is_tested_with_a_fold(transfer: ModuleType, workspace: Workspace) -> None:
    given = ("--variant=tiny-first", "--baseline=tagpool")
    result, all_folds = run(transfer, workspace, *given, "--fold=1"), run(transfer, workspace, *given)
    assert result["fold"] == 1 and all_folds["fold"] is None
    for kind in ("masked", "plain"):
        assert 0 < result[kind]["linear"]["groups"] < all_folds[kind]["linear"]["groups"]


def check_boosting(transfer: ModuleType, workspace: Workspace, tables: dict[str, Any], masked: bool) -> None:
    """The reference in the tables is boosting on the counts of tags, as `probe` fits it."""
    tasks = stages.build_tasks(workspace, "tested", list(transfer.TASKS), folds=transfer.FOLDS)
    probes = stages.probe(workspace, tasks, ["tag-log-counts"], masked=masked, head=["boosting"])
    for probe in probes:
        report = probe.read_json("report.json")
        found = {one["head"]: one["relative"] for one in report["scores"] if one["model"] == "tag-log-counts"}
        linear, two_part = (
            tables[head]["boosting on counts"]["by_task"][report["task"]] for head in ("linear", "linear two-part")
        )
        assert linear == pytest.approx(found["boosting"], abs=1e-5)
        check_unrounded(probe, report)
        assert two_part == pytest.approx(found.get("boosting two-part", found["boosting"]), abs=1e-5)


def check_unrounded(probe: Artifact, report: dict[str, Any]) -> None:
    """The figures of `report.json` can be computed from `predictions.csv`, also those from before rounding."""
    scores = {(one["model"], one["head"]): one for one in report["scores"]}
    found = read_predictions(probe.file("predictions.csv"), [(*key, one["seeds"]) for key, one in scores.items()])
    labels, score = found.labels[found.kept], scores["tag-log-counts", "boosting"]
    predicted, unrounded = (
        values["tag-log-counts", "boosting"][0, found.kept] for values in (found.predicted, found.unrounded)
    )
    assert np.abs(predicted - labels).mean() == pytest.approx(score["mae"]["value"], rel=1e-5)
    if report["task"] in ("bridge", "car_bridge"):
        assert roc_auc_score(labels, unrounded) == pytest.approx(score["auroc"], abs=1e-5)
    else:
        np.testing.assert_array_equal(predicted, unrounded)


def check_picture(file: Path, result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The picture is drawn, and the printed table has the figures of the result."""
    from benchmarks import transfer_picture

    capsys.readouterr()
    transfer_picture.main([str(file), str(file.with_suffix(".png"))])
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    masked = [row for row in rows if row[:2] == ["masked", "linear two-part"]]
    assert [float(row[3].split()[0]) for row in masked] == sorted(float(row[3].split()[0]) for row in masked)
    for _, _, name, score, *tasks in masked:
        one = result["masked"]["linear two-part"][name]
        against = one["differences"]["dummy"]
        assert score == f"{one['score']:.3f} ({1 + against['low']:.3f} to {1 + against['high']:.3f})"
        assert tasks == [f"{value:.3f}" for value in one["by_task"].values()]


def test_a_model_that_saw_tested_tiles_under_another_name_stops_the_script_before_training(
    transfer: ModuleType, workspace: Workspace
) -> None:
    settings = {**SMALL, "model.predictor_depth": 1, "train.max_steps": 1}
    stages.pretrain(workspace, "tiny.yaml", "copy", settings, name="leaky")
    before = workspace.names("models")
    with pytest.raises(SystemExit, match="found `leaky` \\(`seen`\\)"):
        run(transfer, workspace, "--variant", "tag-ae", "--baseline", "leaky")
    assert workspace.names("models") == before


def test_without_a_region_apart_from_the_tested_ones_nothing_is_trained(transfer: ModuleType, tmp_path: Path) -> None:
    made = Workspace(tmp_path / "workspace")
    add_region(made, "tested", 5, 60)
    add_region(made, "copy", 5, 60)
    with pytest.raises(SystemExit, match="no region to train on"):
        run(transfer, made, "--variant", "tiny")
    assert made.names("models") == made.names("tasks") == []


def test_a_comparison_with_a_chosen_model_can_be_drawn(
    transfer: ModuleType, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--variant", "tag-ae", "--baseline", "tagpool")
    result = run(transfer, workspace, *given, "--against", "tagpool")
    assert set(result["masked"]["linear"]["tag-ae"]["differences"]) == {"tagpool", "dummy", "boosting on counts"}
    file = workspace.root / "transfer.json"
    check_picture(file, result, capsys)
    file.write_text(json.dumps({**result, "plain": {"mlp": {}}}))
    from benchmarks import transfer_picture

    with pytest.raises(SystemExit, match="no scores of the head `linear two-part`"):
        transfer_picture.main([str(file), str(file.with_suffix(".png"))])
    with pytest.raises(SystemExit):
        run(transfer, workspace, *given, "--against", "tagpol")
    assert "`tagpol` is not tested; choose from boosting on counts, dummy, tag-ae, tagpool" in capsys.readouterr().err
