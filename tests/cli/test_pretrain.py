"""`geojepa pretrain` on a random workspace: what it publishes, when it skips, what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commandline import COMMAND, geojepa, run
from synthetic_workspace import add_region, new_workspace

SMALL = [
    *("--config", "tiny.yaml", "--threads", "1"),
    *(
        "--set",
        "model.tag_dim=16",
        "--set",
        "model.embed_dim=32",
        "--set",
        "model.depth=1",
        "--set",
        "model.num_heads=2",
    ),
    *("--set", "train.batch_tokens=300", "--set", "train.checkpoint_every=2", "--set", "train.log_every=2"),
]
FILES = {"weights.safetensors", "config.yaml", "metrics.jsonl", "loss.png", "model_card.md"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    workspace = new_workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1)
    add_region(workspace, "elm", seed=2, n_tiles=40, corner=(19000, 25000), with_images=True)
    return tmp_path


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.name != "timing.json"}


def published(place: Path) -> list[Path]:
    return sorted(p for p in (place / "workspace" / "models").glob("*@*") if (p / "manifest.json").is_file())


def test_it_publishes_weights_config_log_plot_and_card_and_then_skips(place: Path) -> None:
    command = ["pretrain", *SMALL, "--set", "train.max_steps=5", "--region", "oak", "--region", "elm", "--name", "m"]
    answer = json.loads(run(*command, "--json", cwd=place))
    (model,) = published(place)
    assert answer["artifact"] == model.name
    assert answer["result"]["counts"]["steps"] == 5
    manifest = json.loads((model / "manifest.json").read_text())
    assert set(manifest["files"]) == FILES
    assert len(manifest["inputs"]) == 4
    card = (model / "model_card.md").read_text()
    assert "© OpenStreetMap contributors" in card and "processed/oak@" in card and "processed/elm@" in card
    assert json.loads((model / "timing.json").read_text())["tokens_per_s"] > 0
    before = hashes(model)
    done = geojepa(*command, cwd=place)
    assert done.returncode == 0 and "up to date, skipping" in done.stderr
    assert hashes(model) == before


def test_a_killed_run_is_taken_up_by_the_same_command_and_ends_with_the_same_bytes(place: Path) -> None:
    command = ["pretrain", *SMALL, "--region", "oak", "--set", "train.max_steps=60"]
    run(*command, cwd=place)
    (undisturbed,) = published(place)
    expected = hashes(undisturbed)
    undisturbed.rename(place / "undisturbed")
    partial = undisturbed.with_name(undisturbed.name + ".partial")
    with subprocess.Popen(
        [*COMMAND, *command], cwd=place, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as running:
        while not (partial / "checkpoint.safetensors").is_file() and running.poll() is None:
            time.sleep(0.01)
        os.kill(running.pid, signal.SIGKILL)
    assert partial.is_dir() and not published(place)
    done = geojepa(*command, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "went on from the checkpoint" in done.stderr
    assert hashes(published(place)[0]) == expected


def test_no_steps_publish_the_untrained_model(place: Path) -> None:
    run("pretrain", *SMALL, "--region", "oak", "--set", "train.max_steps=0", cwd=place)
    (model,) = published(place)
    assert json.loads((model / "manifest.json").read_text())["counts"]["steps"] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--region", "oak", "--set", "train.lrr=1"], "train.lr"),
        (["--region", "oak", "--config", "tinny.yaml"], "tiny.yaml"),
        (["--region", "oakk"], "oak"),
        ([], "`elm`, `oak`"),
        (["--region", "oak", "--set", "model.modalities=[tags, image]"], "no images"),
        (["--region", "oak", "--name", "a/b"], "not a name"),
        (["--region", "oak", "--device", "tpu"], "tpu"),
    ],
)
def test_wrong_options_are_told_and_nothing_is_published(place: Path, arguments: list[str], told: str) -> None:
    done = geojepa("pretrain", *SMALL, "--set", "train.max_steps=1", *arguments, cwd=place)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr and "hint:" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not published(place)


def test_features_of_another_width_are_refused(place: Path) -> None:
    done = geojepa("pretrain", "--region", "oak", "--set", "train.max_steps=1", cwd=place)
    assert done.returncode == 1
    assert "--set model.tag_dim=16" in done.stderr
    assert not published(place)
