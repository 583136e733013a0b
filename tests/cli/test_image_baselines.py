"""Frozen image backbones as baselines of `embed`, `probe`, `knn` and `report`, from stored image tokens."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from commandline import output_of, refused
from hint_commands import check_hint
from image_tokens import store_tokens
from synthetic_store import write_synthetic_images
from synthetic_workspace import add_region
from tiny_networks import tiny_network, use_tiny_networks

from geojepa_cli import Workspace, stages
from geojepa_cli.config import supervised
from geojepa_cli.config.images import FROZEN_ENCODERS
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.models.image_weights import torchvision_models
from geojepa_cli.stages.image_features import find_image_encoder, image_tokens
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.images import ImageStore
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.durable import file_sha256

LINEAR = ("--head", "linear")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The region `oak`, in which half of the tiles have images, with image tokens of all encoders; and `bare`."""
    made = Workspace(tmp_path_factory.mktemp("backbones") / "workspace")
    add_region(made, "oak", 1, 60, with_images=True)
    add_region(made, "bare", 2, 30, corner=(18200, 25956))
    stages.build_tasks(made, "oak", "building_count")
    for encoder in FROZEN_ENCODERS:
        store_tokens(made, "oak", encoder)
    return made


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no weights in torchvision's cache."""
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def tokens_of(workspace: Workspace, encoder: str) -> Artifact:
    return [one for one in workspace.artifacts("features") if one.params.get("image_encoder") == encoder][-1]


@pytest.mark.parametrize("name", FROZEN_ENCODERS)
def test_a_tile_is_the_pooled_vector_of_its_image(workspace: Workspace, name: str) -> None:
    (made,) = stages.embed(workspace, name, "oak", min_entities=0)
    found = Embeddings(made.file("embeddings.h5"))
    tokens = tokens_of(workspace, name)
    with h5py.File(tokens.file("image_tokens.h5")) as file:
        stored = file["token"][...].astype(np.float64)
    pooled = stored[:, 0] if name in ("vit_b_16", "scalemae") else stored.mean(1)
    images = ImageStore(workspace.find("images", "oak").file("images.h5"))
    rows = images.rows_of(found["tile/z"], found["tile/x"], found["tile/y"])
    assert (rows >= 0).sum() == 30 and (rows < 0).any()
    np.testing.assert_allclose(found["tile/vector"][rows >= 0], pooled[rows[rows >= 0]], rtol=1e-5, atol=1e-6)
    assert not found["tile/vector"][rows < 0].any()
    assert found["entity/vector"].shape == (found.n_entities, 0) and found.n_entities > 0
    assert tokens.full_ref in made.inputs and made.params["model"] == name and "image_encoder" not in made.params


def test_all_commands_know_the_backbones(workspace: Workspace) -> None:
    words = ("probe", "--task", "building_count", "--masked", "--model", "resnet50", "--model", "vit_b_16", *LINEAR)
    report = json.loads(output_of(workspace, *words, "--region", "oak", "--json"))["result"]
    rows = {score["model"]: score for score in report["scores"]}
    assert list(rows) == ["dummy", "resnet50", "vit_b_16", "tagpool"]
    assert rows["resnet50"]["protocol"] == "unknown" and rows["tagpool"]["protocol"] == "no pretraining"
    tile = Embeddings(stages.embed(workspace, "resnet50", "oak")[0].file("embeddings.h5")).tile_name(0)
    near = json.loads(output_of(workspace, "knn", "--tile", tile, "--model", "resnet50", "--region", "oak", "--json"))
    assert near["result"]["model"] == "resnet50" and len(near["result"]["neighbours"]) == 8
    assert "resnet50 (linear)" in output_of(workspace, "report", "--json")
    assert "saw no tile" not in output_of(workspace, *words[:3], "--model", "resnet50", *LINEAR, "--region", "oak")


def test_entities_have_no_vectors_of_a_backbone(workspace: Workspace) -> None:
    entity = Embeddings(stages.embed(workspace, "tagpool", "oak")[0].file("embeddings.h5")).entity_ref(0)
    for words in (
        ("knn", "--entity", entity, "--model", "resnet50", "--region", "oak"),
        ("probe-entities", "--task", "building_class", "--model", "resnet50", "--region", "oak"),
    ):
        error = refused(workspace, *words)
        assert isinstance(error, UsageError) and "reads only images" in error.message


def test_backbones_are_trained_on_the_labels_of_a_task(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_networks(monkeypatch, tmp_path / "cache")
    original = supervised._read
    small = {"model": {"image_px": 32}, "train": {"epochs": 1, "patience": 1}}
    monkeypatch.setattr(supervised, "_read", lambda name: small if name == "tuned.yaml" else original(name))
    weights = tmp_path / "w.pth"
    torch.save(tiny_network("efficientnet_b0").state_dict(), weights)
    models = ("vit_b_16-tuned", f"efficientnet_b0-tuned={weights}", "resnet50-tuned-random")
    words = ["probe", "--task", "building_count", "--region", "oak", *LINEAR, "--json"]
    words += [word for model in models for word in ("--model", model)]
    answer = json.loads(output_of(workspace, *words))
    report = answer["result"]
    protocols = {score["model"]: score["protocol"] for score in report["scores"] if score["head"] == "supervised"}
    assert protocols["vit_b_16-tuned"] == protocols["efficientnet_b0-tuned"] == "unknown"
    assert protocols["resnet50-tuned-random (random image encoder)"] == "no pretraining"
    assert len(protocols) == 3
    versions = report["image_weights"]
    assert versions["efficientnet_b0-tuned"] == f"sha256-{file_sha256(weights)[:12]}"
    assert versions["resnet50-tuned-random"] == "random" and versions["vit_b_16-tuned"].startswith("sha256-")
    made = workspace.find("probes", answer["artifact"])
    assert made.params["supervised"]["vit_b_16-tuned"]["model"] == {"encoder": "vit_b_16", "image_px": 32}
    costs = report["supervised"]
    trained = sum(p.numel() for p in tiny_network("resnet50").parameters()) + 2048 + 1
    assert costs["resnet50-tuned-random (random image encoder)"]["parameters"] == trained
    assert workspace.find("images", "oak").full_ref in made.inputs
    assert json.loads(output_of(workspace, *words))["artifact"] == answer["artifact"]
    hint = str(made.rebuild_hint())
    check_hint(hint)
    assert "--model efficientnet_b0-tuned=FILE" in hint and "--model resnet50-tuned-random --model" in hint
    torch.save(tiny_network("efficientnet_b0").state_dict(), weights)  # other weights
    other = json.loads(output_of(workspace, *words[: words.index("--model")], "--model", models[1]))["result"]
    assert other["image_weights"] != {models[1].partition("=")[0]: versions["efficientnet_b0-tuned"]}


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        ("resnet50-tuned", "no weights of the image encoder `resnet50`", "--model resnet50-tuned=FILE"),
        ("resnet50-tuned=nowhere.pth", "`nowhere.pth` of the image encoder", "--model resnet50-tuned=FILE"),
        ("resnet50-tuned-random=w.pth", "`resnet50-tuned-random` has random weights", "--model resnet50-tuned=w.pth"),
        ("resnet50-tuned=", "expected the path of a file", "--model resnet50-tuned=FILE"),
    ],
)
def test_weights_of_trained_backbones_are_found_or_named(
    workspace: Workspace, model: str, message: str, hint: str
) -> None:
    words = ("probe", "--task", "building_count", "--region", "oak", *LINEAR, "--model")
    error = refused(workspace, *words, model)
    assert message in error.message and hint in str(error.hint)


def test_a_trained_backbone_needs_images_and_has_no_embeddings(workspace: Workspace) -> None:
    stages.build_tasks(workspace, "bare", "building_count")
    words = ("--task", "building_count", "--region", "bare", *LINEAR, "--model", "resnet50-tuned-random")
    assert "no images for the tiles of `bare`" in refused(workspace, "probe", *words).message
    error = refused(workspace, "embed", "--model", "resnet50-tuned", "--region", "oak")
    assert isinstance(error, UsageError) and "computes no embeddings" in error.message
    both = ("--model", "resnet50-tuned=a.pth", "--model", "resnet50-tuned=b.pth")
    error = refused(workspace, "probe", "--task", "building_count", "--region", "oak", *both)
    assert isinstance(error, UsageError) and "several files of weights" in error.message


def test_random_weights_need_their_name_and_are_marked(workspace: Workspace) -> None:
    before = tokens_of(workspace, "efficientnet_b0")
    words = ("--region", "oak", "--threads", "1")
    probe = json.loads(
        output_of(
            workspace,
            "probe",
            "--task",
            "building_count",
            "--model",
            "efficientnet_b0-random",
            *LINEAR,
            *words,
            "--json",
        )
    )
    rows = {score["model"]: score["protocol"] for score in probe["result"]["scores"]}
    assert rows["efficientnet_b0-random (random image encoder)"] == "no pretraining"
    made = workspace.find("embeddings", "efficientnet_b0-random.oak")
    assert made.params["image_encoder"] == "random image encoder"
    assert tokens_of(workspace, "efficientnet_b0").params["image_version"] == "random"
    (plain,) = stages.embed(workspace, "efficientnet_b0", "oak")
    assert before.full_ref in plain.inputs  # newer tokens of random weights are not used
    assert "efficientnet_b0-random (random image encoder)" in output_of(workspace, "report", "--json")


def test_missing_weights_are_an_error_with_both_ways(tmp_path: Path) -> None:
    fresh = Workspace(tmp_path / "workspace")
    add_region(fresh, "elm", 3, 40, with_images=True)
    error = refused(fresh, "embed", "--model", "resnet50")
    assert isinstance(error, NotFoundError) and "no weights of the image encoder `resnet50`" in error.message
    hint = str(error.hint)
    assert "torch.hub.load_state_dict_from_url" in hint
    assert "process --region elm --image-encoder resnet50 --image-weights FILE" in hint
    error = refused(fresh, "embed", "--model", "geoembed")
    assert "pip install" in str(error.hint) and fresh.artifacts("embeddings") == []

    weights = tmp_path / "w.pth"
    torch.save(torchvision_models().efficientnet_b0(weights=None).state_dict(), weights)
    image_tokens(fresh, fresh.find("images", "elm"), find_image_encoder("efficientnet_b0", weights))
    (made,) = stages.embed(fresh, "efficientnet_b0")
    assert tokens_of(fresh, "efficientnet_b0").full_ref in made.inputs


def test_all_regions_need_the_same_weights(tmp_path: Path) -> None:
    fresh = Workspace(tmp_path / "workspace")
    for place, name in enumerate(("elm", "fir")):
        add_region(fresh, name, place, 40, corner=(18048 + 100 * place, 25956), with_images=True)
        store_tokens(fresh, name, "resnet50", version=f"sha256-00000000000{place}")
    assert stages.embed(fresh, "resnet50", "fir")
    error = refused(fresh, "embed", "--model", "resnet50", "--region", "elm")
    assert isinstance(error, NotFoundError) and "--region elm" in str(error.hint)


def test_a_region_without_images_is_an_error(workspace: Workspace) -> None:
    error = refused(workspace, "embed", "--model", "resnet50", "--region", "bare")
    assert isinstance(error, NotFoundError) and "no images for the tiles of `bare`" in error.message
    assert "--imagery drawn" in str(error.hint)


def test_tiles_of_which_none_has_an_image_are_an_error(tmp_path: Path) -> None:
    fresh = Workspace(tmp_path / "workspace")
    processed = add_region(fresh, "elm", 3, 40)
    (source,) = [one for one in fresh.artifacts("source") if one.name == "elm"]
    with fresh.build("images", "elm", {"zoom": 16}, [source]) as build:
        write_synthetic_images(build.partial / "images.h5", [(16, 1, 1)], 0)
        build.publish()
    store_tokens(fresh, "elm", "resnet50")
    error = refused(fresh, "embed", "--model", "resnet50")
    assert isinstance(error, DataError) and "has an image" in error.message and processed.name in error.message
