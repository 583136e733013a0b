"""The record that `pretrain` makes of its tiles, and the protocols that `probe` derives from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commandline import invoke
from safetensors.torch import load_file
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.probe_protocols import find_protocols
from geojepa_cli.stages.probe_regions import choose_regions, region_groups
from geojepa_cli.tasks.splits import fold_groups, next_to, split_groups
from geojepa_cli.tasks.trained_groups import FILE, read_groups, write_groups
from geojepa_cli.workspace.artifact import Artifact

SMALL = {"model.tag_dim": 16, "model.depth": 1, "model.embed_dim": 16, "model.num_heads": 2, "train.max_steps": 1}
SMALL |= {"data.min_entities": 1, "model.predictor_depth": 1}
FOLDS = 20


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """`home` with the model `net`, `copy` with the tiles of `home` under another name, and `far` elsewhere."""
    made = Workspace(tmp_path_factory.mktemp("protocols") / "workspace")
    add_region(made, "home", 0, 500)
    stages.pretrain(made, "tiny.yaml", "home", SMALL, name="net")
    add_region(made, "copy", 0, 500)
    add_region(made, "far", 2, 60, corner=(19000, 25956))
    for name in ("home", "copy", "far"):
        stages.build_tasks(made, name, "building_count")
    return made


def _protocols(probe: Artifact) -> dict[str, str]:
    scores = probe.read_json("report.json")["scores"]
    return {score["model"]: score["protocol"] for score in scores}


def _probe(workspace: Workspace, region: str | list[str] | None = None, **given: object) -> Artifact:
    return stages.probe(workspace, "building_count", given.pop("model", "net"), region, head="linear", **given)  # type: ignore


def test_a_model_records_the_groups_of_its_training_tiles_and_no_others(workspace: Workspace) -> None:
    model, groups = workspace.find("models", "net"), region_groups(workspace.find("processed", "home"))
    found = read_groups(model.file(FILE))
    assert set(found.tolist()) <= set(groups[split_groups(groups, 0) != 2].tolist())
    assert len(found) > 0.6 * len(np.unique(groups))
    assert not model.verify()


def test_an_untrained_model_and_baselines_have_no_pretraining(workspace: Workspace) -> None:
    stages.pretrain(workspace, "tiny.yaml", "home", SMALL | {"train.max_steps": 0}, name="untrained")
    assert _protocols(_probe(workspace, "home", model="untrained")) == dict.fromkeys(
        ("dummy", "untrained (first weights)", "tagpool"), "no pretraining"
    )


def test_tiles_count_not_names_and_seen_is_red(workspace: Workspace) -> None:
    expected = {"home": "seen", "copy": "seen", "far": "transfer"}
    for region, protocol in expected.items():
        assert _protocols(_probe(workspace, region)) == {
            "dummy": "no pretraining",
            "net": protocol,
            "tagpool": "no pretraining",
        }
    assert _protocols(_probe(workspace, ["far", "home"]))["net"] == "seen"
    command = ("probe", "--task", "building_count", "--model", "net", "--head", "linear", "--region")
    text = " ".join(invoke(workspace, *command, "copy").stdout.split())
    assert "tested zoom-14 groups during pretraining" in text and "to test on unseen tiles" in text
    assert "to test on unseen tiles" not in invoke(workspace, *command, "far").stdout
    done = invoke(workspace, "report")
    assert "protocol `seen`" in done.stdout and "protocol `transfer`" in done.stdout
    markdown = workspace.find("reports", "all").file("report.md").read_text(encoding="utf-8")
    assert "| net (linear) | 🔴 seen |" in markdown and "| net (linear) | transfer |" in markdown
    model, made = workspace.find("models", "net"), workspace.find("reports", "all")
    weights = load_file(model.file("weights.safetensors"))
    encoder = sum(values.numel() for name, values in weights.items() if name.startswith("target_encoder."))
    facts = made.read_json("report.json")["models"][model.ref]
    assert facts["parameters"] == facts["all_parameters"] == encoder > 0
    cost = made.read_json("cost.json")[model.ref]
    assert (cost["training"]["steps"], cost["training"]["device"]) == (1, "cpu")
    assert cost["training"]["tokens"] == model.counts["tokens_seen"] and cost["embedding"]["device"] == "cpu"


def test_without_a_named_region_those_are_tested_that_the_model_did_not_see(workspace: Workspace) -> None:
    answer = json.loads(
        (done := invoke(workspace, "probe", "--model", "net", "--head", "linear", "--json")).stdout.splitlines()[-1]
    )
    assert answer["result"]["regions"] == [workspace.find("processed", "far").ref]
    assert "chosen for testing: `far`, because net saw no tile of these regions in pretraining;" in " ".join(
        done.stderr.split()
    )
    with pytest.raises(UsageError, match="has several regions"):
        _probe(workspace, model="tagpool")
    stages.pretrain(workspace, "tiny.yaml", ["home", "far"], SMALL, name="all")
    for models in ("all", ["net", "all"]):
        with pytest.raises(UsageError, match="has several regions"):
            _probe(workspace, model=models)


def test_a_seen_figure_is_never_chosen_silently_not_even_if_one_region_has_the_task(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "workspace")
    add_region(made, "home", 0, 120)
    add_region(made, "other", 1, 20, corner=(19000, 25956))
    stages.pretrain(made, "tiny.yaml", "home", SMALL, name="net")
    stages.build_tasks(made, "home", "building_count")
    with pytest.raises(UsageError, match="has several regions"):
        _probe(made)
    assert _protocols(_probe(made, "home"))["net"] == "seen"


def test_regions_apart_from_those_of_pretraining_are_preferred_to_adjoining_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Workspace(tmp_path / "workspace")
    home = add_region(made, "home", 0, 120)
    model = Model("net", stages.pretrain(made, "tiny.yaml", home, SMALL, name="net"))
    east = read_groups(made.find("models", "net").file(FILE))[-1]  # groups are sorted by column
    adjoining = add_region(made, "adjoining", 1, 12, corner=(4 * (int(east >> 32) + 1), 4 * int(east & 0xFFFFFFFF)))
    far = add_region(made, "far", 2, 12, corner=(19000, 25956))

    def choose(*regions: Artifact) -> list[Artifact]:
        return choose_regions(regions, [model, Model("tagpool")], lambda one, region: None)

    assert choose(home, adjoining, far) == [far]
    assert "next to them" not in capsys.readouterr().err
    assert choose(home, adjoining) == [adjoining]
    note = " ".join(capsys.readouterr().err.split())
    assert "net saw no tile of these regions in pretraining, but zoom-14 groups next to them" in note
    assert choose(home) == [] == choose_regions([far], [Model("tagpool")], lambda one, region: None)


def test_a_geometry_encoder_learned_but_saw_no_tile(workspace: Workspace) -> None:
    encoder = find_model(workspace, "polygon-gnn")
    groups = region_groups(workspace.find("processed", "far"))
    assert find_protocols([encoder], groups, groups)[encoder.ref].name == "transfer"


def test_a_fold_that_the_task_does_not_have_is_a_usage_error_with_a_fold_that_it_has(workspace: Workspace) -> None:
    (task,) = stages.build_tasks(workspace, "home", "building_count", folds=3)
    with pytest.raises(UsageError, match="has the folds 0 to 2") as caught:
        stages.probe(workspace, task, "tagpool", head="linear", fold=3)
    assert "--fold 0" in str(caught.value.hint)


def test_the_fold_that_pretraining_left_out_is_tested_alone(workspace: Workspace) -> None:
    groups = region_groups(workspace.find("processed", "home"))
    fold = fold_groups(groups, FOLDS, 0)
    number = int(np.bincount(fold).argmax())
    model = stages.pretrain(workspace, "tiny.yaml", "home", SMALL | {"data.folds": FOLDS}, fold=number)
    assert model.name == f"tiny-fold{number}"
    seen = read_groups(model.file(FILE))
    assert len(seen) and not next_to(seen, np.unique(groups[fold == number])).any()
    (task,) = stages.build_tasks(workspace, "home", "building_count", folds=FOLDS)
    found = stages.probe(workspace, task, model, head="linear")
    report = found.read_json("report.json")
    assert _protocols(found)[model.name] == "unseen groups" and report["fold"] == number
    assert report["groups"] <= len(np.unique(groups[fold == number]))
    assert stages.probe(workspace, task, model, head="linear", fold=number) == found
    other = int(np.bincount(fold[fold != number]).argmax())
    assert _protocols(stages.probe(workspace, task, model, head="linear", fold=other))[model.name] == "seen"
    with pytest.raises(UsageError, match="expected 0 to 4"):
        stages.pretrain(workspace, "tiny.yaml", "home", SMALL, fold=7)


def test_a_model_without_a_record_is_unknown_and_a_damaged_record_is_an_error(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    far, model = workspace.find("processed", "far"), workspace.find("models", "net")
    for name, text in (("old", None), ("broken", "14_1_2\n14_1\n")):
        with workspace.build("models", name, {"config": name}, [far]) as build:
            for file in ("config.yaml", "metrics.jsonl", "weights.safetensors"):
                (build.partial / file).write_bytes(model.file(file).read_bytes())
            if text is not None:
                (build.partial / FILE).write_text(text)
            build.publish()
    assert _protocols(_probe(workspace, "far", model="old"))["old"] == "unknown"
    home, old = workspace.find("processed", "home"), Model("old", workspace.find("models", "old"))
    assert choose_regions([home, far], [old], lambda one, region: None) == [home]
    note = " ".join(capsys.readouterr().err.split())
    expected = "the tiles that old saw are unknown, but the training regions have other names"
    assert expected in note and "saw no" not in note
    with pytest.raises(DataError, match="not the name of a zoom-14 tile"):
        _probe(workspace, "far", model="broken")


def test_groups_are_written_once_in_order_and_read_again(tmp_path: Path) -> None:
    groups = np.array([7 << 32 | 3, 5 << 32 | 9, 7 << 32 | 3], np.int64)
    write_groups(tmp_path, groups)
    assert (tmp_path / FILE).read_text() == "14_5_9\n14_7_3\n"
    np.testing.assert_array_equal(read_groups(tmp_path / FILE), np.unique(groups))
    for wrong in ("15_1_2", "14_1_-2", "14_1_99999", "14_1_2_3", "x", "14_١_2"):
        (tmp_path / FILE).write_text(wrong + "\n")
        with pytest.raises(DataError, match="not the name of a zoom-14 tile"):
            read_groups(tmp_path / FILE)
