"""Regions, seeds, the knob alpha and clear errors of `probe-entities`; `embed` and `knn` with `--alpha`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import Run, invoke
from hint_commands import check_hint
from PIL import Image
from planted_entities import TASK, add_planted
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.config.names import WEIGHTS
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.entity_probe_plan import ProbeOptions, plan_entity_probe
from geojepa_cli.stages.entity_probe_regions import find_regions_to_probe
from geojepa_cli.stages.probe_regions import region_groups
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.tensors import read_tensors, save_tensors
from geojepa_cli.tasks.trained_groups import write_groups
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains, rebuild_hint

TASK_NAME = "building_class"
SMALL = {"train.max_steps": 1, "model.tag_dim": 16, "model.depth": 1, "model.embed_dim": 16}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three regions in which the shape of a building decides its class, a task, and a model of the first region."""
    made = Workspace(tmp_path_factory.mktemp("knob") / "workspace")
    alpha = add_planted(made, "alpha", "shape", 0, groups=8)
    add_planted(made, "beta", "shape", 1, groups=6, corner=(4600, 6400), first_id=10_000)
    add_planted(made, "gamma", "shape", 2, groups=5, corner=(4700, 6400), first_id=20_000)
    (made.root / "planted.yaml").write_text(TASK.replace("min_examples: 20", "min_examples: 5"))
    stages.pretrain(made, "tiny.yaml", alpha, SMALL, "net")
    return made


@pytest.fixture(scope="module")
def loud(workspace: Workspace) -> Artifact:
    """The model with weights so large that the surroundings matter, unlike after one training step."""
    return copied(workspace, "loud", ["alpha"], 0.3)


def copied(workspace: Workspace, name: str, seen: list[str], noise: float = 0.0) -> Artifact:
    """Publishes a copy of the model with noise in its weights, whose record says that it saw some regions."""
    net, rng = workspace.find("models", "net"), torch.Generator().manual_seed(0)
    regions = [workspace.find("processed", one) for one in seen]
    with workspace.build("models", name, net.params, regions) as build:
        for file in net.manifest["files"]:
            (build.partial / file).write_bytes(net.file(file).read_bytes())
        tensors, metadata = read_tensors(net.file(WEIGHTS))
        louder = {key: one + noise * torch.randn(one.shape, generator=rng) for key, one in tensors.items()}
        save_tensors(build.partial / WEIGHTS, louder, metadata)
        write_groups(build.partial, np.concatenate([region_groups(one) for one in regions]))
        return build.publish()


def probed(workspace: Workspace, **options: object) -> Artifact:
    return stages.probe_entities(workspace, workspace.root / "planted.yaml", **{"seeds": 1, **options})  # type: ignore[arg-type]


def test_several_regions_are_left_out_in_turn_and_the_report_says_so(workspace: Workspace) -> None:
    made = probed(workspace, model="tagpool", seeds=2)
    report = made.read_json("report.json")
    assert report["evaluation"] == "left-out regions" and report["leave_out"] == "regions" and report["seeds"] == 2
    assert report["evaluation_description"].startswith(
        "3-fold cross-validation over regions (trained on other regions)"
    )
    assert report["groups"] == 19 and len(report["regions"]) == 3
    scores = {score["model"]: score for score in report["scores"]}
    assert scores["shape"]["accuracy"]["value"] > 0.9
    for score in scores.values():
        assert (
            set(score["spread"]) == {"accuracy", "balanced", "average_precision"} and min(score["spread"].values()) >= 0
        )
        assert score["average_precision"]["low"] <= score["average_precision"]["high"]
    hint = str(made.rebuild_hint())
    assert "--region alpha --region beta --region gamma" in hint and "--leave-out" not in hint and "--seeds 2" in hint
    assert probed(workspace, model="tagpool", region=["gamma", "alpha", "beta"], seeds=2) == made
    params = {**made.params, "leave_out": "groups"}
    assert "--leave-out groups" in str(rebuild_hint("entity_probes", Remains(made.name, params, made.inputs)))
    plan = plan_entity_probe(workspace, TASK_NAME, "tagpool", None, None, "groups", ProbeOptions())
    assert plan.evaluation == "cross-validation" and len(plan.regions) == 3
    text = " ".join(invoke(workspace, *command(workspace), "--model", "tagpool", "--seeds", "2").stdout.split())
    assert "cross-validation over regions" in text and "mean over 2 seeds" in text


def command(workspace: Workspace) -> tuple[object, ...]:
    return ("probe-entities", "--task", workspace.root / "planted.yaml", "--threads", "1")


def test_without_a_region_those_are_tested_that_the_model_did_not_see(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = find_regions_to_probe(workspace, "net", None, None, None)
    assert [one.name for one in chosen.regions] == ["beta", "gamma"] and chosen.leave_out == "regions"
    assert "net saw no tile of these regions in pretraining" in " ".join(capsys.readouterr().err.split())
    named = find_regions_to_probe(workspace, "net", ["alpha", "beta"], None, None)
    assert [one.name for one in named.regions] == ["alpha", "beta"] and not named.tested
    rest = find_regions_to_probe(workspace, "net", None, "gamma", None)
    assert [one.name for one in rest.tested] == ["gamma"] and len(rest.regions) == 3
    with pytest.raises(UsageError, match="cannot be combined with `--test-region`"):
        find_regions_to_probe(workspace, "net", None, "gamma", "groups")


def test_one_unseen_region_is_tested_and_a_seen_one_is_never_chosen(workspace: Workspace) -> None:
    two = copied(workspace, "two", ["alpha", "gamma"])
    chosen = find_regions_to_probe(workspace, two, None, None, None)
    assert [one.name for one in chosen.tested] == ["beta"] and len(chosen.regions) == 3
    every = copied(workspace, "every", ["alpha", "beta", "gamma"])
    with pytest.raises(UsageError) as caught:
        probed(workspace, model=every)
    check_hint(str(caught.value.hint))
    report = probed(workspace, model=two, region=["alpha", "beta"]).read_json("report.json")
    assert report["evaluation"] == "left-out regions"
    protocols = {score["model"]: score["protocol"] for score in report["scores"]}
    assert protocols["two"] == "seen" and protocols["tagpool"] == "no pretraining"


def test_the_curve_has_figures_differences_and_context_ratios_by_alpha(workspace: Workspace, loud: Artifact) -> None:
    made = probed(workspace, model=loud, region="alpha", context=True)
    report = made.read_json("report.json")
    points = {(point["model"], point["alpha"]): point for point in report["curve"]}
    assert list(points) == [(name, one) for name in ("loud", "tagpool") for one in (0.0, 0.25, 0.5, 0.75, 1.0)]
    scores = {score["model"]: score for score in report["scores"]}
    for name in ("loud", "tagpool"):
        start = points[name, 0.0]
        assert start["balanced"] == scores[name]["balanced"] and start["difference"]["accuracy"]["value"] == 0
        assert start["context"] == report["context"][name][-1]
    shares = [points["loud", one]["context"]["share"] for one in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert shares == sorted(shares, reverse=True) and shares[0] > 0.02 and shares[-1] < 1e-3
    flat = [{key: points["tagpool", one][key] for key in ("accuracy", "average_precision")} for one in (0.0, 1.0)]
    assert flat[0] == flat[1] and points["tagpool", 1.0]["context"]["share"] == 0
    for point in report["curve"]:
        change = point["average_precision"]["value"] - points[point["model"], 0.0]["average_precision"]["value"]
        assert point["difference"]["average_precision"]["value"] == pytest.approx(change, abs=2e-6)
    with Image.open(made.file("curve.png")) as picture:
        assert picture.width > 1000 and len(picture.convert("L").getcolors() or []) > 10
    plain = probed(workspace, model=loud, region="alpha")
    assert "curve" not in plain.read_json("report.json") and "curve.png" not in plain.manifest["files"]


def test_the_id_depends_on_the_list_of_counted_tags(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = probed(workspace, model="tag-counts", region="alpha")
    assert before.params["frequent_tags"].startswith("sha256-")
    monkeypatch.setattr("geojepa_cli.baselines.tag_counts.list_version", lambda: "sha256-other")
    after = probed(workspace, model="tag-counts", region="alpha")
    assert after.id != before.id and after.params["frequent_tags"] == "sha256-other"


def test_embed_and_knn_shift_entities_and_nothing_else(workspace: Workspace, loud: Artifact, run_here: Run) -> None:
    (plain,) = stages.embed(workspace, "loud", "beta")
    alone, half = (
        Embeddings(stages.embed(workspace, "loud", "beta", alpha=one)[0].file("embeddings.h5")) for one in (1, 0.5)
    )
    again = json.loads(run_here("embed", "--model", "loud", "--region", "beta", "--alpha", "0", "--json"))
    assert again["artifact"] == plain.ref and "alpha" not in plain.params
    vectors = Embeddings(plain.file("embeddings.h5"))
    for name in ("tile/vector", "entity/piece", "entity/osm_id"):
        assert np.array_equal(vectors[name], half[name]), name
    found = [np.asarray(one["entity/vector"], np.float64) for one in (vectors, half, alone)]
    assert np.abs(found[0] - found[2]).max() > 0.01
    assert found[1] == pytest.approx((found[0] + found[2]) / 2, abs=0.01)  # stored as float16
    words = ("embed", "--model", "loud", "--alpha", "0.5", "--region", "beta", "--json")
    shifted = workspace.find("embeddings", json.loads(run_here(*words))["artifact"])
    assert shifted.params["alpha"] == 0.5 and "--alpha 0.5" in str(shifted.rebuild_hint())
    entity = vectors.entity_ref(0)
    made = stages.knn(workspace, entity=entity, model="loud", region="beta", k=3, alpha=0.5, space="raw")
    answer = made.read_json("neighbours.json")
    unit = found[1] / np.linalg.norm(found[1], axis=1, keepdims=True)
    cosines = np.sort(np.delete(unit @ unit[0], 0))[::-1]
    assert [one["score"] for one in answer["neighbours"]] == pytest.approx(cosines[:3], abs=2e-3)
    assert answer["alpha"] == 0.5 and "--alpha 0.5" in str(made.rebuild_hint())
    assert stages.knn(workspace, entity=entity, model="loud", region="beta", k=3, space="raw").id != made.id
    assert "with alpha 0.5" in " ".join(
        run_here("knn", "--entity", entity, "--model", "loud", "--region", "beta", "--alpha", "0.5").split()
    )


def test_alpha_of_tiles_and_wrong_values_are_refused(workspace: Workspace) -> None:
    tile = Embeddings(stages.embed(workspace, "tagpool", "beta")[0].file("embeddings.h5")).tile_name(0)
    for words, says in (
        (("knn", "--tile", tile, "--alpha", "0.5"), "`--alpha` cannot be combined with `--tile`"),
        (("embed", "--region", "beta", "--alpha", "2"), "`--alpha 2.0`: expected a number from 0"),
        (("embed", "--region", "beta", "--alpha", "nan"), "expected a number from 0"),
    ):
        error = invoke(workspace, *words).exception
        assert isinstance(error, UsageError) and says in error.message, error
        check_hint(str(error.hint))
    assert stages.knn(workspace, tile=tile, model="tagpool", region="beta", alpha=0.0).kind == "neighbours"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("key: building", "key: buildin", "`buildin=*` of the task `planted` occurs nowhere in `alpha`; did you mean"),
        ("[area]", "[line]", "no entity (line) in `alpha` has the tag `building=*` of the task"),
        ('ignore: ["yes"]', "classes: {a: [mosque], b: [dam]}", "none of 96 entities with `building=*` in `alpha` has"),
        ("20", "900", "0 of 3 classes of `planted` have 900 examples in every training part, expected at least 2"),
    ],
)
def test_a_tag_or_class_that_is_too_rare_is_an_error_in_words(
    workspace: Workspace, tmp_path: Path, old: str, new: str, says: str
) -> None:
    (tmp_path / "wrong.yaml").write_text(TASK.replace(old, new))
    with pytest.raises(DataError) as caught:
        stages.probe_entities(workspace, tmp_path / "wrong.yaml", "tagpool", "alpha")
    assert says in caught.value.message, caught.value.message
    check_hint(str(caught.value.hint))


def test_a_model_that_reads_images_is_tested_without_them_only_with_a_warning(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "workspace")
    pictured = add_region(made, "pictured", 0, 30, with_images=True)
    add_planted(made, "bare", "shape", 0, groups=6, corner=(4600, 6400))
    (made.root / "planted.yaml").write_text(TASK.replace("min_examples: 20", "min_examples: 5"))
    settings = {**SMALL, "train.max_steps": 0, "model.modalities": "[tags,image]"}
    stages.pretrain(made, "tiny.yaml", pictured, settings, "eyes")
    done = invoke(made, *command(made), "--model", "eyes", "--region", "bare", "--seeds", "1")
    assert done.exception is None, done.exception
    shown = " ".join(done.stderr.split())
    assert "`eyes` is tested without images in `bare`, because there are none" in shown
    assert "tile --region bare --imagery drawn" in shown


def test_options_give_consecutive_seeds(workspace: Workspace) -> None:
    plan = plan_entity_probe(
        workspace, workspace.root / "planted.yaml", "net", "alpha", None, None, ProbeOptions(seed=4, seeds=3)
    )
    assert list(plan.settings.all_seeds) == [4, 5, 6] and plan.evaluation == "cross-validation"
