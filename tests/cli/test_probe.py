"""`geojepa probe` on a small random workspace, with TagPool and untrained models: no native binary."""

from __future__ import annotations

import contextlib
import csv
import io
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
from geojepa_cli.config.load import dump_config, load_config
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.stages.embeddings import TAGPOOL, Model
from geojepa_cli.stages.models import make_model
from geojepa_cli.stages.probe_plan import seen_groups, warn_of_other_splits
from geojepa_cli.stages.tasks import build_tasks
from geojepa_cli.stages.training import TrainingRun
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.splits import split_groups

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
    assert report["protocol"] == "cross-validation"
    assert f"{report['groups']} zoom-14 groups" in report["protocol_description"]
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


def test_a_model_of_another_split_seed_or_without_a_split_gives_a_warning(workspace: Workspace) -> None:
    alpha, beta = workspace.find("processed", "alpha"), workspace.find("processed", "beta")
    (task,) = build_tasks(workspace, alpha, ["max_speed"])
    expected = {"split_seed=0": "", "split_seed=3": "data.split_seed=3", "exclude_test_groups=false": "exclude_test"}
    for config, text in expected.items():
        with workspace.build("models", "m", {"config": config}, [alpha]) as build:
            (build.partial / "config.yaml").write_text(dump_config(load_config("tiny.yaml", [f"data.{config}"])))
            artifact = build.publish()
        for region, warning in ((alpha, text), (beta, "")):
            printed = io.StringIO()
            with contextlib.redirect_stderr(printed):
                warn_of_other_splits([Model("m", artifact)], [region], [task])
            assert warning in printed.getvalue()
            assert bool(warning) == ("may have seen test tiles" in printed.getvalue())
        workspace.remove(artifact)


def test_groups_that_pretraining_may_have_seen_are_counted_by_lineage(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "workspace")
    town, other = add_region(made, "town", 0, 60), add_region(made, "far", 7, 60, corner=(18100, 25956))
    build_tasks(made, town, ["max_speed"])
    settings = ["train.max_steps=0", "model.tag_dim=16", "model.depth=1", "train.batch_tokens=4096"]
    model = Model("net", make_model(made, [town], TrainingRun(load_config("tiny.yaml", settings), "net", seed=3)))
    groups = np.arange(40, dtype=np.int64) << 32 | 5
    kept = int((split_groups(groups, 0) != 2).sum())
    assert 0 < kept < 40
    tested = np.repeat(groups, 3)
    assert seen_groups(made, model, [town], tested) == kept
    assert seen_groups(made, model, [other, town], tested) == kept
    assert seen_groups(made, model, [town], np.repeat(groups[split_groups(groups, 0) == 2], 3)) == 0
    assert seen_groups(made, model, [other], tested) == 0
    assert seen_groups(made, Model(TAGPOOL, None), [town], tested) == 0
    ws = ["--workspace", str(made.root), "probe", "--task", "max_speed", "--region", "town", *LINEAR]
    printed = CliRunner().invoke(app, [*ws, "--model", "net"]).stdout
    assert f"`{model.ref}` may have seen tiles of" in printed
    report = json.loads(CliRunner().invoke(app, [*ws, "--model", "net", "--json"]).stdout)["result"]
    assert 0 < report["seen_in_pretraining"][model.ref] <= report["groups"]
    assert "may have seen" not in CliRunner().invoke(app, [*ws, "--model", "tagpool"]).stdout


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
