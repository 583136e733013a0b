"""`geojepa probe` on a small random workspace, with TagPool and untrained models: no native binary."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Run, artifact_names
from hint_commands import check_hint, split_hint
from synthetic_workspace import add_region
from typer.testing import CliRunner

from geojepa_cli import Workspace, stages
from geojepa_cli.app import app
from geojepa_cli.errors import DataError, GeojepaError, NotFoundError
from geojepa_cli.stages.embedding_model import TAGPOOL
from geojepa_cli.stages.tasks import build_tasks
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

LINEAR = ("--head", "linear")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two neighbouring regions with tasks."""
    made = Workspace(tmp_path_factory.mktemp("probe") / "workspace")
    regions = [add_region(made, "alpha", 0, 120), add_region(made, "beta", 1, 60, corner=(18100, 25956))]
    for region in regions:
        build_tasks(made, region, ["max_speed", "building_count"])
    return made


def test_a_probe_has_dummy_and_tagpool_and_its_predictions_give_its_scores(workspace: Workspace, run_here: Run) -> None:
    command = ("probe", "--task", "max_speed", "--region", "alpha", "--masked", *LINEAR)
    answer = json.loads(run_here(*command, "--json"))
    assert set(answer) == {"schema", "command", "artifact", "result"}
    report = answer["result"]
    assert [(f["model"], f["head"]) for f in report["scores"]] == [("dummy", "median"), ("tagpool", "linear")]
    assert report["evaluation"] == "cross-validation"
    assert f"{report['groups']} zoom-14 groups" in report["evaluation_description"]
    assert report["strongest"]["alpha"]["tags"]
    artifact = workspace.find("probes", answer["artifact"])
    kept = [row for row in _predictions(artifact.file("predictions.csv")) if row["kept"] == "1"]
    errors = [abs(float(row["tagpool_linear"]) - float(row["label"])) for row in kept]
    assert np.mean(errors) == pytest.approx(report["scores"][1]["mae"]["value"], rel=1e-4)
    assert len(kept) == report["tiles"]
    assert artifact.file("plot.png").read_bytes().startswith(b"\x89PNG")
    text = run_here(*command)
    for word in ("tagpool", "dummy", "most informative single tag", "MAE / Dummy"):
        assert word in text


def test_the_python_function_makes_the_same_artifact_from_artifacts(workspace: Workspace, run_here: Run) -> None:
    answer = json.loads(run_here("probe", "--task", "max_speed", "--region", "alpha", *LINEAR, "--json"))
    task = workspace.find("tasks", "alpha.max_speed")
    assert stages.probe(workspace, task, TAGPOOL, head="linear").ref == answer["artifact"]
    assert stages.probe(workspace, "max_speed", region="alpha", head="linear").ref == answer["artifact"]
    with pytest.raises(DataError) as caught:
        stages.report(Workspace(workspace.root / "nothing"))
    assert str(caught.value.hint) == f"geojepa --workspace {workspace.root / 'nothing'} probe --task max_speed"


def test_the_order_of_the_regions_does_not_change_an_artifact(workspace: Workspace) -> None:
    (vectors,) = stages.embed(workspace, "tagpool", "alpha")
    tile = Embeddings(vectors.file("embeddings.h5")).tile_name(0)
    settings = {"train.max_steps": 1, "model.tag_dim": 16}
    for make in (
        lambda regions: stages.pretrain(workspace, "tiny.yaml", regions, settings, "ordered"),
        lambda regions: stages.probe(workspace, "max_speed", "tagpool", regions, head="mlp"),
        lambda regions: stages.knn(workspace, tile, model="tagpool", region=regions),
    ):
        made = make(["beta", "alpha"])
        shutil.rmtree(made.path)
        again = make(["alpha", "beta"])
        assert again == made and not made.verify()
        shutil.rmtree(again.path)  # other tests expect a workspace without models


def test_without_shared_adds_scores_of_vectors_without_entities_in_several_groups(
    workspace: Workspace, run_here: Run
) -> None:
    command = ["probe", "--task", "building_count", "--region", "alpha", "--region", "beta", "--masked", *LINEAR]
    plain = json.loads(run_here(*command, "--json"))
    answer = json.loads(run_here(*command, "--without-shared", "--json"))
    assert plain["artifact"] != answer["artifact"]
    assert "shared_entities" not in plain["result"] and "without_shared" not in plain["result"]
    scores = {score["model"]: score for score in answer["result"]["scores"]}
    assert list(scores) == ["dummy", "tagpool", "tagpool without shared"]
    assert [scores["dummy"], scores["tagpool"]] == plain["result"]["scores"]
    assert scores["tagpool without shared"]["mae"] != scores["tagpool"]["mae"]
    hidden = answer["result"]["shared_entities"]
    assert 0 < hidden["hidden"] < hidden["entities"]
    printed = run_here(*command, "--without-shared")
    assert f"hid {hidden['hidden']:,} of {hidden['entities']:,} entities" in printed
    embedded = [made for made in workspace.artifacts("embeddings") if made.params.get("without_shared")]
    assert {made.name for made in embedded} == {"tagpool.alpha", "tagpool.beta"}
    counts = sum(made.counts["entities"] for made in embedded)
    assert counts == hidden["entities"] - hidden["hidden"]


def test_several_tasks_heads_and_seeds_in_one_command(workspace: Workspace, run_here: Run) -> None:
    command = ("probe", "--region", "alpha", "--head", "linear", "--head", "mlp", "--seeds", "2", "--labels", "0.4")
    every = json.loads(run_here(*command, "--json"))
    assert [report["task"] for report in every["result"]] == ["building_count", "max_speed"]
    named = json.loads(run_here(*command, "--task", "max_speed", "--task", "building_count", "--json"))
    assert named["artifact"] == every["artifact"][::-1]
    one = json.loads(run_here(*command, "--task", "max_speed", "--json"))
    assert (one["artifact"], one["result"]) == (every["artifact"][1], every["result"][1])
    scores = {(score["model"], score["head"]): score for score in one["result"]["scores"]}
    assert {head for _, head in scores} == {"median", "linear", "mlp"}  # every tile has a road
    assert scores["tagpool", "mlp"]["seeds"] == 2 and scores["tagpool", "mlp"]["spread"]["mae"] > 0
    assert scores["tagpool", "linear"]["seeds"] == 1
    assert {score["protocol"] for score in scores.values()} == {"no pretraining"}
    (point,) = one["result"]["curve"]
    assert point["labels"]["share"] == 0.4 and point["labels"]["tiles"] < one["result"]["labels"]["tiles"]
    rows = _predictions(workspace.find("probes", one["artifact"]).file("predictions.csv"))
    errors = [abs(float(row[f"tagpool_mlp_{i}"]) - float(row["label"])) for row in rows for i in (0, 1)]
    assert np.mean(errors) == pytest.approx(scores["tagpool", "mlp"]["mae_unthinned"], rel=1e-4)
    text = run_here(*command, "--task", "max_speed")
    for word in ("SD over seeds", "learning curve", "Spearman", "no pretraining"):
        assert word in text
    both = stages.probe(workspace, ["building_count", "max_speed"], region="alpha", head=["linear", "mlp"], seeds=2)
    assert [made.params["task"] for made in both] == ["building_count", "max_speed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--labels", "0"), "expected a share above 0"),
        (("--labels", "1.5"), "expected a share above 0"),
        (("--seeds", "0"), "expected 1 to 100"),
        (("--head", "linear", "--head", "deep"), "unknown head `deep`"),
        (("--fold", "1"), "was built without folds"),
        (("--task", "max_speed", "--task", "maxspeed"), "maxspeed"),
    ],
)
def test_wrong_options_are_refused_with_a_hint(
    workspace: Workspace, run_here: Run, options: tuple[str, ...], message: str
) -> None:
    before = artifact_names(workspace.root)
    with pytest.raises(GeojepaError, match=message) as caught:
        run_here("probe", "--region", "alpha", *options)
    check_hint(str(caught.value.hint))
    assert artifact_names(workspace.root) == before


def test_a_task_that_was_not_built_names_the_command_that_builds_it(run_here: Run) -> None:
    with pytest.raises(NotFoundError) as caught:
        run_here("probe", "--task", "bridge", "--region", "alpha")
    assert "build-tasks --region alpha --task bridge" in str(caught.value.hint)


def test_a_probe_embeds_the_tiles_on_which_its_task_was_built(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "workspace")
    town = add_region(made, "town", 5, 40, mean_entities=60.0)
    store = TileStore([RegionStore(town.file("processed.h5"), "town")])
    most = int(np.sort(store.lengths(View.default(store, 0, None)))[-2])  # leaves out the tile with the most
    build_tasks(made, town, ["building_count"], min_entities=1, max_entities=most)
    stages.probe(made, "building_count", head="linear")
    params = [artifact.params for artifact in made.artifacts("embeddings")]
    assert [(one["min_entities"], one["max_entities"]) for one in params] == [(1, most)]


@pytest.mark.parametrize("name", ["labels.h5", "views.h5", "task.yaml"])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_task_with_a_flipped_bit_is_refused_and_nothing_is_published(
    tmp_path: Path, workspace: Workspace, run_here: Run, name: str, place: float
) -> None:
    path = workspace.find("tasks", "beta.max_speed").file(name)
    whole, before = path.read_bytes(), artifact_names(workspace.root)
    damaged = bytearray(whole)
    damaged[int(place * len(whole))] ^= 1
    path.write_bytes(damaged)
    try:
        with pytest.raises(DataError, match="is damaged") as caught:
            run_here("probe", "--task", "max_speed", "--region", "beta", "--model", "tagpool", *LINEAR)
        assert "build-tasks --region beta --task max_speed" in str(caught.value.hint)
        assert [ref for ref in artifact_names(workspace.root) if ref.startswith("probes/")] == [
            ref for ref in before if ref.startswith("probes/")
        ]
    finally:
        path.write_bytes(whole)


def _predictions(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("folds", [None, 2])
def test_a_task_with_too_few_tiles_is_refused_before_anything_is_embedded(tmp_path: Path, folds: int | None) -> None:
    made = Workspace(tmp_path / "workspace")
    small = add_region(made, "small", 1, 16, corner=(18050, 25958))
    stages.build_tasks(made, small, "building_count", folds=folds)
    with pytest.raises(DataError, match=r"too few tiles to probe: .* expected at least 20 tiles in 3 groups") as caught:
        stages.probe(made, "building_count", TAGPOOL, "small")
    assert not made.artifacts("embeddings") and not (made.root / "embeddings").exists()
    assert str(caught.value.hint).startswith(f"geojepa --workspace {made.root} fetch ")
    other = add_region(made, "other", 2, 200)
    with pytest.raises(DataError) as caught:
        stages.probe(made, "building_count", TAGPOOL, "small", head="linear")
    first, second = split_hint(str(caught.value.hint))
    check_hint(str(caught.value.hint))
    runner = CliRunner()
    assert runner.invoke(app, first[1:]).exception is None and runner.invoke(app, second[1:]).exception is None
    (probe,) = made.artifacts("probes")
    assert other.full_ref in probe.inputs and small.full_ref in probe.inputs
