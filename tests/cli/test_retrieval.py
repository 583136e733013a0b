"""`geojepa probe --retrieval` on random regions: no native binary, no text encoder."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import Run, call, refused
from hint_commands import check_hint
from sklearn.metrics import average_precision_score
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.baselines.tagpool import TagPool
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.stages.retrieval import RETRIEVAL
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.features import open_features
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.retrieval import hidden_view, tiles_with
from geojepa_cli.tasks.retrieval_spec import find_feature, load_feature, packed_features
from geojepa_cli.tasks.tokens import RegionTokens
from geojepa_cli.workspace.kinds import Remains, rebuild_hint

FILES = ("report.json", "scores.csv", "queries.csv", "tasks/church.yaml")
CHURCH = "{name: church, title: church, has: [{tags: [building=church]}], hide: [bridge=viaduct]}"
ROADS = "{name: roads, title: road class, key: highway, kinds: [point, line, area], ignore: ['crossing']}"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two regions, a feature, an entity task and an untrained model that saw one of the regions."""
    made = Workspace(tmp_path_factory.mktemp("retrieval") / "workspace")
    add_region(made, "alpha", 1, 500)
    beta = add_region(made, "beta", 2, 60, corner=(19000, 25956))
    (made.root / "church.yaml").write_text(CHURCH)
    (made.root / "roads.yaml").write_text(ROADS)
    settings = {"train.max_steps": 1, "model.tag_dim": 16, "model.depth": 1, "model.embed_dim": 16}
    stages.pretrain(made, "tiny.yaml", beta, settings, "net")
    return made


def command(workspace: Workspace, *more: object, task: str = "church.yaml") -> tuple[object, ...]:
    return ("probe", "--retrieval", "--task", workspace.root / task, "--model", "tagpool", "--threads", "1", *more)


def answer(
    workspace: Workspace, run_here: Run, *more: object, **given: str
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The report and the lines of `queries.csv`."""
    found = json.loads(run_here(*command(workspace, *more, **given), "--json"))
    made = workspace.find("retrieval", found["artifact"])
    return found["result"], list(csv.DictReader(made.file("queries.csv").open(newline="")))


def slow_vectors(workspace: Workspace, masked: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """TagPool's vectors of the tiles of `alpha`, which of them have a church, and their groups."""
    processed, features = workspace.find("processed", "alpha"), workspace.find("features", "alpha")
    store = TileStore.open([processed.file("processed.h5")])
    spec, tokens, view = (
        load_feature(workspace.root / "church.yaml"),
        RegionTokens(store.regions[0]),
        View.default(store),
    )
    shown = hidden_view(tokens, spec, view).view if masked else view
    inputs = FrozenInputs(open_features([features.file("tags.h5")], store).table)
    with torch.inference_mode():
        vectors = TagPool(inputs).encode(store.read(shown, shown.tiles)).tiles.double().numpy()
    return vectors, tiles_with(tokens, spec)[view.tiles], store.groups[view.tiles]


@pytest.mark.parametrize("masked", [False, True])
def test_queries_equal_scikit_learn_on_vectors_of_all_tiles_and_figures_are_their_means(
    workspace: Workspace, run_here: Run, masked: bool
) -> None:
    more = ("--region", "alpha", "--space", "raw", "--space", "centred", *(("--masked",) if masked else ()))
    report, lines = answer(workspace, run_here, *more)
    vectors, has, groups = slow_vectors(workspace, masked)
    queries = np.flatnonzero(has)
    assert len(lines) == len(queries) == report["features"][0]["queries"] > 50
    assert report["tiles"] == len(vectors) and report["features"][0]["with_feature"] == has.sum()
    for space in ("raw", "centred"):
        used = vectors if space == "raw" else vectors - vectors[vectors.any(1)].mean(0) * vectors.any(1)[:, None]
        norms = np.linalg.norm(used, axis=1, keepdims=True)
        unit = used / np.where(norms > 0, norms, 1)
        found = []
        for query, line in zip(queries, lines, strict=True):
            others = groups != groups[query]
            found.append(average_precision_score(has[others], (unit @ unit[query])[others].round(9)))
            assert float(line[f"tagpool ({space}) average_precision"]) == pytest.approx(found[-1], abs=2e-3)
        (score,) = [one for one in report["scores"] if one["space"] == space]
        assert score["average_precision"]["value"] == pytest.approx(np.mean(found), abs=2e-4)
        assert score["average_precision"]["low"] < np.mean(found) < score["average_precision"]["high"]
        assert (score["ref"], score["protocol"]) == ("tagpool", "no pretraining")
    assert report["masked"] == masked and set(report["hidden"]) == ({"church"} if masked else set())
    if masked:
        strongest = report["hidden"]["church"]["strongest"]
        assert strongest and not [one for one in strongest if one["tag"] == "building=church"]


def test_hiding_the_feature_lowers_the_figures_and_the_model_is_compared_with_tagpool(
    workspace: Workspace, run_here: Run
) -> None:
    more = ("--model", "net", "--region", "alpha", "--region", "beta")
    plain, _ = answer(workspace, run_here, *more)
    masked, _ = answer(workspace, run_here, *more, "--masked")
    value = {
        name: next(one["precision"]["value"] for one in report["scores"] if one["model"] == "tagpool")
        for name, report in (("plain", plain), ("masked", masked))
    }
    chance = plain["random"]["precision"]["value"]
    assert value["plain"] > value["masked"] + 0.04 and value["plain"] > chance + 0.04
    assert abs(value["masked"] - chance) < 0.03
    assert [(one["a"]["model"], one["b"]["model"]) for one in plain["differences"]] == [("tagpool", "net")]
    net = workspace.find("models", "net")
    protocols = {one["model"]: one["protocol"] for one in plain["scores"]}
    assert protocols == {"tagpool": "no pretraining", "net": "seen"}
    assert 0 < plain["protocols"][net.ref]["seen_groups"] < plain["protocols"][net.ref]["groups"]


def test_entities_are_searched_by_class_and_hidden_tags_leave_little(workspace: Workspace, run_here: Run) -> None:
    plain, lines = answer(workspace, run_here, "--region", "alpha", task="roads.yaml")
    masked, _ = answer(workspace, run_here, "--region", "alpha", "--masked", task="roads.yaml")
    assert {one["name"] for one in plain["features"]} >= {"residential", "footway", "primary", "service"}
    assert "crossing" not in {one["name"] for one in plain["features"]}
    assert plain["entities"] == sum(one["with_feature"] for one in plain["features"]) == len(lines)
    assert len({line["entity"] for line in lines}) == len(lines)
    value = [report["scores"][0]["average_precision"]["value"] for report in (plain, masked)]
    assert value[0] > 2 * value[1] and masked["hidden_rules"] == ["highway"]


def test_the_text_has_tables_differences_and_what_is_left_out(workspace: Workspace, run_here: Run) -> None:
    more = ("--region", "alpha", "--masked", "--space", "raw", "--space", "whitened")
    text = run_here(*command(workspace, *more, "--task", "marina"))
    for words in ("church", "random order", "mAP by feature, raw", "whitened − raw", "marina (0)", "precision@8"):
        assert words in text, text
    entities = run_here(*command(workspace, "--region", "beta", task="roads.yaml"))
    assert "not in the means" in entities and "classes" in entities


def test_the_same_seed_gives_the_same_bytes_and_the_rebuild_command_makes_the_same_artifact(
    workspace: Workspace,
) -> None:
    given: dict[str, Any] = {
        "model": "tagpool",
        "region": "alpha",
        "masked": True,
        "space_": ["whitened", "raw"],
        "k": 5,
    }
    (made,) = stages.probe_retrieval(workspace, workspace.root / "church.yaml", **given)
    before = {name: made.file(name).read_bytes() for name in FILES}
    assert set(before) == set(made.manifest["files"])
    hint = str(made.rebuild_hint())
    assert "probe --retrieval" in hint and f"--task {made.path / 'tasks/church.yaml'}" in hint
    assert "--space raw --space whitened" in hint and "--k 5" in hint and "--masked" in hint
    check_hint(hint)
    assert stages.probe_retrieval(workspace, made.path / "tasks/church.yaml", **given) == [made]
    shutil.rmtree(made.path)
    (again,) = stages.probe_retrieval(workspace, workspace.root / "church.yaml", **given, threads=2)
    assert again.ref == made.ref and {name: again.file(name).read_bytes() for name in FILES} == before


def test_several_features_are_one_artifact_and_all_of_the_package_need_no_option(
    workspace: Workspace, run_here: Run
) -> None:
    (workspace.root / "wood.yaml").write_text("{name: wood, title: wood, has: [{tags: [landuse=forest], share: 0.02}]}")
    more = ("--task", workspace.root / "wood.yaml", "--region", "alpha")
    report, lines = answer(workspace, run_here, *more)
    assert [one["name"] for one in report["features"]] == ["church", "wood"]
    assert {line["feature"] for line in lines} == {"church", "wood"}
    means = [one["average_precision"]["value"] for one in report["scores"][0]["features"].values()]
    assert report["scores"][0]["average_precision"]["value"] == pytest.approx(np.mean(means), abs=1e-5)
    packed = {name: find_feature(name).resolved() for name in packed_features()}
    hint = str(RETRIEVAL.rebuild(Remains("features.tagpool", {"definitions": packed, "models": ["tagpool"]})))
    assert hint == "geojepa probe --retrieval --model tagpool"
    error = refused(workspace, "probe", "--retrieval", "--region", "beta", "--model", "tagpool")
    assert "has one of 30 features" in error.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--task", "cemetary"), "cemetery"),
        (("--task", "missing.yaml"), "not found"),
        (("--space", "round"), "`--space round`: expected `raw`, `centred`, `balanced`, `whitened`"),
        (("--k", "0"), "`--k 0`"),
        (("--task", "vineyard"), "none of the"),
        (("--model", "tag-count-mlp"), "computes no embeddings"),
    ],
)
def test_wrong_options_are_refused(workspace: Workspace, options: tuple[str, ...], message: str) -> None:
    given = ("--model", "tagpool") if "--model" not in options else ()
    error = refused(workspace, "probe", "--retrieval", "--region", "beta", *given, *options)
    assert message in f"{error.message} {error.hint}"


@pytest.mark.parametrize("options", [("--head", "mlp"), ("--embeddings", "x.parquet"), ("--seeds", "2")])
def test_options_of_heads_are_refused(workspace: Workspace, options: tuple[str, str]) -> None:
    done = call("probe", "--retrieval", "--masked", *options, cwd=workspace.root.parent)
    assert done.returncode == 2
    message, hint = done.stderr.strip().split("\n\n")
    assert f"`{options[0]}` cannot be combined with `--retrieval`" in message
    assert hint == f"hint: geojepa probe --masked {' '.join(options)}"


def test_options_of_retrieval_require_it(workspace: Workspace) -> None:
    done = call("probe", "--space", "raw", "--region", "beta", cwd=workspace.root.parent)
    assert done.returncode == 2 and "`--space` requires `--retrieval`" in done.stderr
    assert "hint: geojepa probe --space raw --region beta --retrieval" in done.stderr


def test_a_lost_artifact_has_a_rebuild_command(tmp_path: Path) -> None:
    hint = rebuild_hint("retrieval", Remains("features.tagpool", workspace=tmp_path))
    check_hint(str(hint))


def test_embeddings_of_the_region_are_reused(workspace: Workspace, run_here: Run) -> None:
    before = sorted(workspace.root.glob("embeddings/*@*"))
    run_here(*command(workspace, "--region", "alpha", "--k", "3"))
    assert sorted(workspace.root.glob("embeddings/*@*")) == before
    assert Embeddings(before[0] / "embeddings.h5").n_tiles > 0
