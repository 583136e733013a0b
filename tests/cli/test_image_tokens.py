"""Models with a frozen image encoder through the commands: `process`, `pretrain`, `embed`, `probe`, `artifacts`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import pytest
import torch
from commandline import TINY_TRAINING, output_of, refused
from hint_commands import split_hint
from synthetic_workspace import add_region, new_workspace

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.models.image_weights import torchvision_models
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.images import ImageStore
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.prune import find_prunable

SETTINGS = {
    "model.modalities": "[tags, image]",
    "model.image_encoder": "resnet50",
    "model.embed_dim": 32,
    **TINY_TRAINING,
    "train.batch_tokens": 300,
}
SMALL = {**SETTINGS, "model.tag_dim": 16}
RANDOM = "model.image_weights=random"
QUICK = ("--set", RANDOM, "--set", "model.image_encoder=efficientnet_b0")


def words_of(settings: dict[str, object]) -> list[str]:
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A random region with images of 12 of its tiles, and no weights in torchvision's cache."""
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    made = new_workspace(tmp_path / "workspace")
    add_region(made, "oak", seed=1, n_tiles=24, with_images=True)
    return made


def tokens_of(workspace: Workspace) -> list[Artifact]:
    return [made for made in workspace.artifacts("features") if "image_encoder" in made.params]


def pretrain(workspace: Workspace, name: str, *more: str) -> Artifact:
    output_of(workspace, "pretrain", "--config", "tiny.yaml", "--name", name, "--threads", "1", *words_of(SMALL), *more)
    return workspace.find("models", name)


def test_pretrain_and_embed_make_the_tokens_that_the_model_reads(workspace: Workspace) -> None:
    model = pretrain(workspace, "m", "--set", RANDOM)
    (tokens,) = tokens_of(workspace)
    images = workspace.find("images", "oak")
    assert tokens.params == {"image_encoder": "resnet50", "image_version": "random"}
    assert tokens.inputs == [images.full_ref] and {tokens.full_ref, images.full_ref} <= set(model.inputs)
    assert model.params["config"]["model"]["image_version"] == "random"
    card = model.file("model_card.md").read_text()
    assert "Image encoder: resnet50 (random image encoder), frozen, 49 tokens of 2048 values" in card
    assert "random image encoder" in card and "GeoJEPA-TI" in card
    with h5py.File(tokens.file("image_tokens.h5")) as file:
        assert file["token"].shape == (12, 49, 2048) and file["token"].dtype == "float16"
    content = tokens.file("image_tokens.h5").read_bytes()

    workspace.remove(tokens)
    answer = json.loads(
        output_of(workspace, "embed", "--model", "m", "--threads", "1", "--min-entities", "1", "--json")
    )
    (again,) = tokens_of(workspace)
    assert again.full_ref == tokens.full_ref and again.file("image_tokens.h5").read_bytes() == content
    made = workspace.find("embeddings", "m.oak")
    assert again.full_ref in made.inputs and answer["result"]["counts"]["width"] == 32
    assert made.params["image_encoder"] == "random image encoder"
    assert Embeddings(made.file("embeddings.h5")).n_tiles > 12
    assert again not in find_prunable(workspace.everything())
    assert "resnet50" in output_of(workspace, "artifacts")


def test_embeddings_depend_on_the_images(workspace: Workspace) -> None:
    pretrain(workspace, "m", *QUICK)
    (made,) = stages.embed(workspace, "m", min_entities=1)
    found = Embeddings(made.file("embeddings.h5"))
    before = found["tile/vector"][:]
    source = workspace.at(workspace.find("images", "oak").inputs[0])
    with workspace.build("images", "oak", {"zoom": 16, "other": 1}, [source]) as build:
        path = build.partial / "images.h5"
        shutil.copy(workspace.find("images", "oak").file("images.h5"), path)
        with h5py.File(path, "r+") as file:
            file["image"][...] = 255 - file["image"][:]
        build.publish()
    (other,) = stages.embed(workspace, "m", min_entities=1)
    assert len(tokens_of(workspace)) == 2 and other.full_ref != made.full_ref
    after = Embeddings(other.file("embeddings.h5"))["tile/vector"][:]
    changed = (abs(after - before) > 1e-4).any(1)
    shown = ImageStore(workspace.find("images", "oak").file("images.h5"))
    has_image = shown.rows_of(found["tile/z"], found["tile/x"], found["tile/y"]) >= 0
    assert changed.tolist() == has_image.tolist() and 5 < changed.sum() < len(changed) - 5


def test_pixels_are_masked_in_training_and_embed_does_not_need_the_encoder(workspace: Workspace) -> None:
    plain = pretrain(workspace, "p", *QUICK)
    masked = pretrain(workspace, "m", *QUICK, "--set", "masking.pixels=true")
    assert len(tokens_of(workspace)) == 1
    assert masked.file("weights.safetensors").read_bytes() != plain.file("weights.safetensors").read_bytes()
    (made,) = stages.embed(workspace, "m")
    assert tokens_of(workspace)[0].full_ref in made.inputs


def test_weights_of_a_file_give_the_version_and_their_path_leaves_no_trace(
    workspace: Workspace, tmp_path: Path
) -> None:
    weights = tmp_path / "secret" / "w.pth"
    weights.parent.mkdir()
    torch.save(torchvision_models().resnet50(weights=None).state_dict(), weights)
    model = pretrain(workspace, "m", "--set", f"model.image_weights={weights}")
    (tokens,) = tokens_of(workspace)
    version = tokens.params["image_version"]
    assert version.startswith("sha256-") and model.params["config"]["model"]["image_version"] == version
    assert "secret" not in model.file("config.yaml").read_text()
    assert "secret" not in (model.path / "manifest.json").read_text()
    card = model.file("model_card.md").read_text()
    assert f"resnet50 ({version})" in card and "random image encoder" not in card
    (made,) = stages.embed(workspace, "m")  # the tokens exist, so nothing needs the weights
    assert "image_encoder" not in made.params
    workspace.remove(tokens)
    error = refused(workspace, "embed", "--model", "m", "--min-entities", "2", "--threads", "1")
    assert isinstance(error, NotFoundError)
    hint = str(error.hint)
    assert "process --region oak --image-encoder resnet50 --image-weights FILE" in hint and "python -c" in hint


def test_missing_weights_are_refused_before_any_work_with_both_ways(workspace: Workspace) -> None:
    for pixels in ("true", "false"):
        pixel = f"masking.pixels={pixels}"
        words = ["pretrain", "--config", "tiny.yaml", *words_of(SMALL), "--set", pixel, "--name", "m"]
        error = refused(workspace, *words)
        assert (
            isinstance(error, NotFoundError) and "there are no weights of the image encoder `resnet50`" in error.message
        )
        assert "torch.hub.load_state_dict_from_url" in str(error.hint)
        assert "--set model.image_weights=FILE" in str(error.hint)
    error = refused(workspace, "pretrain", "--config", "paper-ti.yaml", "--name", "m")
    assert "`vit_b_16`" in error.message
    error = refused(workspace, *words, "--set", "model.image_weights=nowhere.pth")
    assert "`nowhere.pth`" in error.message and error.exit_code == 2
    assert tokens_of(workspace) == [] and workspace.artifacts("models") == []


def test_process_makes_the_tokens_and_its_hint_makes_damaged_ones_again(demo: Workspace) -> None:
    words = ["process", "--image-encoder", "efficientnet_b0", "--image-weights", "random", "--threads", "1"]
    answer = json.loads(output_of(demo, *words, "--json"))["result"]
    (tokens,) = tokens_of(demo)
    assert answer["image_tokens"] == tokens.ref and answer["features"] is not None
    assert json.loads(output_of(demo, "process", "--threads", "1", "--json"))["result"]["image_tokens"] is None
    images = demo.find("images", "demo")
    assert tokens.counts["images"] == images.counts["images"]
    encoder = {**SETTINGS, "model.image_encoder": "efficientnet_b0", "model.image_weights": "random"}
    model = stages.pretrain(demo, "tiny.yaml", set_=encoder, name="e")
    assert tokens.full_ref in model.inputs and len(tokens_of(demo)) == 1

    path = tokens.file("image_tokens.h5")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-100])
    error = refused(demo, "embed", "--model", "e", "--threads", "1")
    assert isinstance(error, DataError) and "image_tokens.h5" in error.message
    assert "--image-encoder efficientnet_b0 --image-weights random" in str(error.hint)
    for part in split_hint(str(error.hint)):
        if part[0] == "rm":
            shutil.rmtree(part[-1])
        else:
            output_of(demo, *part[part.index("process") :])
    assert path.read_bytes() == content
    stages.probe(demo, "bridge", ["e", "tagpool"], head="linear")
    (report,) = [made.read_json("report.json") for made in demo.artifacts("probes") if made.name == "bridge.e"]
    assert {score["model"] for score in report["scores"]} >= {"e (random image encoder)", "tagpool"}
    assert "e (random image encoder) (linear)" in output_of(demo, "report", "--json")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--image-encoder", "resnet5"], "unknown image encoder `resnet5`", "--image-encoder resnet50"),
        (["--image-encoder", "resnet50"], "no weights of the image encoder", "--image-weights FILE"),
        (["--image-weights", "random"], "requires `--image-encoder`", "--image-encoder vit_b_16"),
        (["--image-encoder", "resnet50", "--image-weights", "no.pth"], "`no.pth`", "--image-weights FILE"),
    ],
)
def test_wrong_encoders_are_refused_before_any_work(
    workspace: Workspace, words: list[str], message: str, hint: str
) -> None:
    error = refused(workspace, "process", *words)
    assert message in error.message and hint in str(error.hint)
    assert tokens_of(workspace) == []
