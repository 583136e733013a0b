"""Baselines on the demo city: every command of docs/baselines.md, costs, labels, masks and errors."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import chat_server
from commandline import call, run_main
from demo_workspace import DemoCity
from hint_commands import check_hint
from image_tokens import store_tokens
from raw_tokens import raw_tiles
from tiny_networks import use_tiny_networks
from vector_file import write_vectors

from geojepa_cli.config import supervised
from geojepa_cli.config.images import FROZEN_ENCODERS
from geojepa_cli.errors import NotFoundError
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.tags.frequent import frequent_tags
from geojepa_cli.workspace.workspace import Workspace

TEXT = (Path(__file__).resolve().parents[2] / "docs/baselines.md").read_text(encoding="utf-8")
SMALL = {
    "embed_dim": 8,
    "depth": 1,
    "num_heads": 2,
    "predictor_dim": 8,
    "predictor_depth": 1,
    "predictor_heads": 2,
    "decoder_depth": 1,
    "hidden_dim": 8,
}


@pytest.fixture(scope="module")
def city(demo_city: DemoCity) -> DemoCity:
    """The demo city with the task `max_speed`."""
    if not any(name.endswith(".max_speed") for name in workspace_of(demo_city).names("tasks")):
        run_main("build-tasks", "--task", "max_speed", cwd=demo_city.folder)
    return demo_city


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Supervised baselines train for one epoch."""
    original = supervised._read

    def read(name: str) -> Any:
        raw = original(name)
        raw["train"]["epochs"] = 1
        raw["model"] |= {"image_px": 32} if "image_px" in raw["model"] else {}
        return raw

    monkeypatch.setattr(supervised, "_read", read)


def workspace_of(city: DemoCity) -> Workspace:
    return Workspace(city.folder / "workspace")


def small(words: list[str]) -> list[str]:
    """The same command in a small size, with a linear head."""
    if words[1] == "probe":
        return [*words, "--head", "linear"]
    if words[1] != "pretrain":
        return words
    from geojepa_cli.config.load import load_run_config

    model = load_run_config(words[words.index("--config") + 1]).model.model_dump()
    sizes = [f"model.{key}={value}" for key, value in SMALL.items() if key in model]
    return [*words, *(part for size in sizes for part in ("--set", size)), "--set", "train.max_steps=0"]


def add_vectors(city: DemoCity) -> None:
    """Writes the files with vectors that the page names."""
    run_main("embed", "--model", "tagpool", cwd=city.folder)
    found = Embeddings(workspace_of(city).find("embeddings", "tagpool.demo").file("embeddings.h5"))
    names = [found.tile_name(row) for row in range(found.n_tiles)]
    for file in re.findall(r"(\w+\.parquet)", TEXT):
        write_vectors(city.folder / file, names, np.asarray(found["tile/vector"]))


def test_every_command_of_the_page_runs(
    city: DemoCity, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_networks(monkeypatch, tmp_path / "cache")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, flags=re.S) for line in block.splitlines() if line]
    assert len(lines) > 10
    for encoder in FROZEN_ENCODERS:
        store_tokens(workspace_of(city), "demo", encoder)  # as `process --image-weights FILE` does
    add_vectors(city)
    with chat_server() as server:
        for line in lines:
            words = [server.url if word == "URL" else word for word in small(shlex.split(line, comments=True))]
            run_main(*words[1:], cwd=city.folder)
    run_main("report", cwd=city.folder)
    (report,) = workspace_of(city).artifacts("reports")[-1:]
    text = report.file("report.md").read_text()
    models = set(re.findall(r"--model (\S+)", "\n".join(lines)))
    assert {model for model in models if model not in text} == set()
    assert "t-first-weights (first weights)" in text


def test_the_cost_of_a_supervised_model_is_recorded(city: DemoCity, quick: None) -> None:
    command = ("probe", "--task", "max_speed", "--model", "tagformer-p", "--head", "linear", "--seed", "3", "--json")
    answer = json.loads(run_main(*command, cwd=city.folder))
    report = answer["result"]
    rows = [(score["model"], score["head"]) for score in report["scores"]]
    assert rows[:2] == [("dummy", "median"), ("tagpool", "linear")] and rows[-1] == ("tagformer-p", "supervised")
    number, of_folds, _ = report["evaluation_description"].partition("-fold")
    folds = int(number) if of_folds else 1
    cost = report["supervised"]["tagformer-p"]
    runs = [{"seed": 3, "fold": fold, "epochs": 1, "best_epoch": 1} for fold in range(folds)]
    assert cost["parameters"] > 1000 and cost["runs"] == runs
    probe = workspace_of(city).find("probes", answer["artifact"])
    assert json.loads((probe.path / "timing.json").read_text())["training_s"]["tagformer-p"] >= 0
    assert "tagformer-p_supervised" in probe.file("predictions.csv").read_text().splitlines()[0]
    again = json.loads(run_main(*command, cwd=city.folder))
    assert again["artifact"] == answer["artifact"]


def test_the_cost_is_that_of_all_labels_by_seed_and_fold(city: DemoCity, quick: None) -> None:
    command = ("probe", "--task", "max_speed", "--model", "tag-count-mlp", "--head", "linear", "--seed", "5", "--json")
    found = {}
    for more in ((), ("--seeds", "2", "--labels", "0.5")):
        answer = json.loads(run_main(*command, *more, cwd=city.folder))
        found[more] = answer["result"]["supervised"]["tag-count-mlp"]
    alone, several = found.values()
    places = [(run["seed"], run["fold"]) for run in alone["runs"]]
    assert [(run["seed"], run["fold"]) for run in several["runs"]] == [*places, *((6, fold) for _, fold in places)]
    assert several["parameters"] == alone["parameters"]


def test_other_settings_of_a_supervised_model_are_another_probe(
    city: DemoCity, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("probe", "--task", "max_speed", "--model", "tag-count-mlp", "--head", "linear", "--json")
    first = json.loads(run_main(*command, cwd=city.folder))["artifact"]
    quickly = supervised._read
    monkeypatch.setattr(supervised, "_read", lambda name: {**quickly(name), "model": {"columns": 5, "embed_dim": 8}})
    assert json.loads(run_main(*command, cwd=city.folder))["artifact"] != first


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("embed", "--model", "tagformer-p"), "trained on the labels of a task, so it computes no embeddings"),
        (("knn", "--tile", "16_18052_25957", "--model", "tagformer"), "so it computes no embeddings"),
        (("pretrain", "--name", "tagformer-s"), "is the name of a baseline"),
        (("probe", "--task", "max_speed", "--model", "tagfrmer-p"), "did you mean `tagformer-p`"),
        (("pretrain", "--config", "tag-ae.yaml", "--set", "model.depth=3"), "unknown key `model.depth`"),
        (("pretrain", "--config", "tagformer-lmae.yaml", "--set", "model.num_heads=7"), "not a multiple of num_heads"),
        (("pretrain", "--config", "tagformer-lmae.yaml", "--set", "model.tag_dim=7"), "`model.tag_dim` is 7"),
    ],
)
def test_errors_are_explained(city: DemoCity, command: tuple[str, ...], message: str) -> None:
    done = call(*command, cwd=city.folder)
    assert done.returncode in (1, 2)
    assert message in done.stderr.replace("\n", " ")
    assert "hint: geojepa" in done.stderr


@pytest.mark.parametrize("name", ["tag-ae", "tagformer-lmae"])
def test_the_hint_for_an_untrained_baseline_trains_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=f"unknown model `{name}`") as caught:
        find_model(Workspace(tmp_path / "workspace"), name)
    assert f"pretrain --config {name}.yaml" in str(caught.value.hint)
    check_hint(str(caught.value.hint))


@pytest.mark.parametrize("masked", [False, True])
def test_tag_counts_equal_a_plain_loop_and_a_mask_hides_tags(city: DemoCity, masked: bool) -> None:
    workspace = workspace_of(city)
    if not any(name.endswith(".building_count") for name in workspace.names("tasks")):
        run_main("build-tasks", "--task", "building_count", cwd=city.folder)
    words = ["embed", "--model", "tag-counts", "--task", "building_count", *(["--masked"] if masked else []), "--json"]
    made = workspace.find("embeddings", json.loads(run_main(*words, cwd=city.folder))["artifact"])
    vectors = Embeddings(made.file("embeddings.h5"))
    columns = {text: column for column, text in enumerate(frequent_tags())}
    region = workspace.find("processed", made.name.partition(".")[2])
    tokens = [found for _, found in raw_tiles(region.file("processed.h5"))]
    assert len(columns) == 600
    for place, row in enumerate(vectors["tile/row"][:20].tolist()):
        expected = np.zeros(len(columns))
        for token in tokens[row]:
            if masked and "building" in token.tags:
                continue
            for key, value in token.tags.items():
                for text in (f"{key}={value}", f"{key}=*"):
                    if text in columns:
                        expected[columns[text]] += 1
        np.testing.assert_array_equal(vectors["tile/vector"][place], expected)
    assert bool(vectors["tile/vector"][:, columns["building=*"]].any()) is not masked
