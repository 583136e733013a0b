"""`geojepa pretrain` on a random workspace: what it publishes, when it skips, what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import h5py
import pytest
from commandline import COMMAND, call, heed_ctrl_c, run_main
from demo_workspace import linked_copy
from safetensors import safe_open
from synthetic_workspace import add_region, new_workspace

from geojepa_cli.stages.joined_images import joined_images
from geojepa_cli.workspace.workspace import Workspace

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
FILES = {"weights.safetensors", "config.yaml", "metrics.jsonl", "loss.png", "model_card.md", "trained_groups.txt"}


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The regions `oak`, and `elm` with images."""
    workspace = new_workspace(tmp_path_factory.mktemp("regions") / "workspace")
    add_region(workspace, "oak", seed=1)
    add_region(workspace, "elm", seed=2, n_tiles=40, corner=(19000, 25000), with_images=True)
    return workspace


@pytest.fixture
def place(regions: Workspace, tmp_path: Path) -> Path:
    """A folder with a copy of the workspace."""
    linked_copy(regions, tmp_path)
    return tmp_path


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.name != "timing.json"}


def published(place: Path) -> list[Path]:
    return sorted(p for p in (place / "workspace" / "models").glob("*@*") if (p / "manifest.json").is_file())


def test_it_publishes_weights_config_log_plot_and_card_and_then_skips(place: Path) -> None:
    command = ["pretrain", *SMALL, "--set", "train.max_steps=5", "--region", "oak", "--region", "elm", "--name", "m"]
    answer = json.loads(run_main(*command, "--json", cwd=place))
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
    done = call(*command, cwd=place)
    assert done.returncode == 0 and "up to date, skipping" in done.stderr
    assert hashes(model) == before


def test_a_killed_run_is_resumed_by_the_same_command_and_ends_with_the_same_bytes(place: Path) -> None:
    command = ["pretrain", *SMALL, "--region", "oak", "--set", "train.max_steps=60"]
    run_main(*command, cwd=place)
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
    (partial / ".tmpBB5gQX").write_bytes(b"half of the weights")  # safetensors writes next to it and renames
    done = call(*command, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "resumed from the checkpoint at step" in done.stderr
    assert hashes(published(place)[0]) == expected


def test_no_steps_publish_the_untrained_model(place: Path) -> None:
    run_main("pretrain", *SMALL, "--region", "oak", "--set", "train.max_steps=0", cwd=place)
    (model,) = published(place)
    assert json.loads((model / "manifest.json").read_text())["counts"]["steps"] == 0
    card = (model / "model_card.md").read_text()
    assert "It was not trained" in card and "It was trained" not in card


@pytest.mark.parametrize(("pooling", "width"), [("counts", 96), ("sum", 96), ("attention", 32)])
def test_a_model_with_another_pooling_and_loss_embeds_tiles_of_the_stated_width(
    place: Path, pooling: str, width: int
) -> None:
    switches = ["regulariser=sigreg", "prediction=info_nce", "targets=random_projection", "gram_weight=1"]
    changed = [item for key in switches for item in ("--set", f"loss.{key}")]
    changed += ["--set", "model.summary_dim=20", "--set", "model.place_weight=0.05", "--set", "model.sketch_dim=16"]
    command = ["pretrain", *SMALL, *changed, "--set", f"model.pooling={pooling}", "--set", "train.max_steps=4"]
    run_main(*command, "--region", "oak", cwd=place)
    (model,) = published(place)
    card = (model / "model_card.md").read_text()
    assert f", {width} values" in card and "summary of this vector, 20 values" in card
    assert "sketch of the tile's tags, 16 values" in card
    run_main("embed", "--region", "oak", cwd=place)
    (embeddings,) = (place / "workspace" / "embeddings").glob("*@*")
    with h5py.File(embeddings / "embeddings.h5") as file:
        assert file["tile/vector"].shape[1] == width + 20 + 16
        assert file["tile/vector"][...].std(axis=0).min() > 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--region", "oak", "--set", "train.lrr=1"], "train.lr"),
        (["--region", "oak", "--config", "tinny.yaml"], "tiny.yaml"),
        (["--region", "oakk"], "oak"),
        ([], "`elm`, `oak`"),
        (["--region", "oak", "--set", "model.modalities=[tags, image]"], "reads images"),
        (["--region", "oak", "--name", "a/b"], "is not a valid name"),
        (["--region", "oak", "--device", "tpu"], "tpu"),
        (["--region", "oak", "--name", "tagpool"], "name of a baseline"),
        (["--region", "oak", "--set", "model.embed_dim=8192", "--set", "model.depth=200"], "billion parameters"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_published(place: Path, arguments: list[str], expected: str) -> None:
    done = call("pretrain", *SMALL, "--set", "train.max_steps=1", *arguments, cwd=place)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr and "hint:" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not published(place)


def test_features_of_another_width_are_refused(place: Path) -> None:
    done = call("pretrain", "--region", "oak", "--set", "train.max_steps=1", cwd=place)
    assert done.returncode == 1
    assert "--set model.tag_dim=16" in done.stderr
    assert not published(place)


def partials(place: Path) -> list[Path]:
    return sorted((place / "workspace").glob("*/*.partial"))


def test_a_run_that_is_refused_leaves_no_folder(place: Path) -> None:
    assert call("pretrain", "--region", "oak", "--set", "train.max_steps=1", cwd=place).returncode == 1
    assert not partials(place)


def interrupt_when_written(
    place: Path, file: str, *settings: str, by: signal.Signals = signal.SIGINT
) -> tuple[int, str, str]:
    """Trains, and interrupts with Ctrl-C or SIGTERM once `file` exists. Returns exit code, stdout and stderr."""
    command = ["pretrain", *SMALL, "--region", "oak", "--set", "train.max_steps=100000", *settings]
    with subprocess.Popen(
        [*COMMAND, *command],
        cwd=place,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    ) as running:
        while not (partials(place) and (partials(place)[0] / file).is_file()):
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(by)
        out, message = running.communicate(timeout=60)
    return running.returncode, out, message


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_prints_the_step_of_the_last_checkpoint_and_the_command_that_resumes(
    place: Path, by: signal.Signals
) -> None:
    code, out, message = interrupt_when_written(place, "checkpoint.safetensors", by=by)
    assert code == 130
    with safe_open(partials(place)[0] / "checkpoint.safetensors", framework="numpy") as file:
        step = json.loads(file.metadata()["place"])["step"]
    assert f"interrupted; the last checkpoint is from step {step:,}" in message
    assert "--no-resume" in message
    assert out == "" and "Traceback" not in message
    done = call("artifacts", "--prune", "--yes", cwd=place)
    assert done.returncode == 0 and "unfinished; `--unfinished` deletes it too" in done.stdout
    assert partials(place)
    done = call("artifacts", "--prune", "--unfinished", "--yes", cwd=place)
    assert done.returncode == 0 and "the same command would resume it" in done.stdout
    assert not partials(place)


def test_ctrl_c_before_the_first_checkpoint_leaves_nothing_to_resume_from(place: Path) -> None:
    setting = ("--set", "train.checkpoint_every=100000")
    code, _, message = interrupt_when_written(place, "metrics.jsonl", *setting)
    assert code == 130 and "interrupted before the first checkpoint" in message
    assert not partials(place)


def test_images_of_another_source_or_zoom_than_the_tiles_are_not_joined(place: Path) -> None:
    workspace = Workspace(place / "workspace")
    oak = workspace.find("processed", "oak")
    tiles = workspace.at(oak.inputs[0])
    source = workspace.at(tiles.inputs[0])
    with workspace.build("source", "oak", {"other": True}) as build:
        other = build.publish()
    for zoom, origin in ((15, source), (16, other)):
        with workspace.build("images", "oak", {"zoom": zoom}, [origin]) as build:
            build.publish()
    assert joined_images(workspace, oak) is None
    with workspace.build("images", "oak", {"zoom": 16}, [source]) as build:
        right = build.publish()
    with workspace.build("images", "oak", {"zoom": 14}, [source]) as build:
        build.publish()
    found = joined_images(workspace, oak)
    assert found is not None and found.ref == right.ref
    with workspace.build("tiles", "oak", {"zoom": 16, "bbox": [0, 0, 1, 1]}, [source]) as build:
        fewer = build.publish()
    with workspace.build("images", "oak", {}, [source, fewer]) as build:  # scenes, resampled to other tiles
        build.publish()
    found = joined_images(workspace, oak)
    assert found is not None and found.ref == right.ref
    with workspace.build("images", "oak", {}, [source, tiles]) as build:
        resampled = build.publish()
    found = joined_images(workspace, oak)
    assert found is not None and found.ref == resampled.ref


def test_newer_images_of_another_zoom_are_neither_trained_on_nor_embedded(place: Path) -> None:
    workspace = Workspace(place / "workspace")
    right = workspace.find("images", "elm")
    source = workspace.at(right.inputs[0])
    with workspace.build("images", "elm", {"zoom": 15}, [source]) as build:
        shutil.copy(right.file("images.h5"), build.partial)
        newer = build.publish()
    assert workspace.find("images", "elm").ref == newer.ref
    images = ["--set", "model.modalities=[tags, image]", "--set", "model.patch_px=112"]
    run_main("pretrain", *SMALL, *images, "--region", "elm", "--set", "train.max_steps=0", "--name", "m", cwd=place)
    run_main("embed", "--model", "m", "--region", "elm", cwd=place)
    for made in (workspace.find("models", "m"), workspace.find("embeddings", "m.elm")):
        assert [ref for ref in made.inputs if ref.startswith("images/")] == [f"images/{right.ref}"]


@pytest.mark.parametrize(("file", "garbage"), [("weights.safetensors", b"\xff"), ("config.yaml", b"[")])
def test_the_error_of_a_model_with_a_broken_file_has_the_command_that_makes_it_again(
    place: Path, file: str, garbage: bytes
) -> None:
    run_main("pretrain", *SMALL, "--region", "oak", "--set", "train.max_steps=0", "--name", "m", cwd=place)
    (model,) = published(place)
    (model / file).write_bytes(garbage * (model / file).stat().st_size)
    name = model.relative_to(place)
    again = f"rm {name}/manifest.json && geojepa pretrain --config {name}/config.yaml"  # by its own config, if whole
    remake = f"rm -r {name} && geojepa pretrain" if file == "config.yaml" else again
    done = call("embed", "--model", "m", "--region", "oak", cwd=place)
    assert done.returncode == 1, done.stderr
    assert file in done.stderr and "Traceback" not in done.stderr
    assert remake in done.stderr
    assert not partials(place)
    done = call("artifacts", "--verify", cwd=place)
    assert done.returncode == 1
    assert remake in done.stderr
