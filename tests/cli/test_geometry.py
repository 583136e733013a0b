"""Geometry vectors and models with geometry through the commands, on the demo city."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import matplotlib
import numpy as np
import pytest
import torch
from commandline import TINY_TRAINING, invoke, output_of, refused
from demo_workspace import DemoCity, linked_copy
from hint_commands import check_hint, split_hint

from geojepa_cli import Workspace, stages
from geojepa_cli.config.modality import Modality
from geojepa_cli.errors import DataError, FeatureMismatchError, NotFoundError
from geojepa_cli.models.base import FrozenInputs, TagList
from geojepa_cli.models.jepa.embedder import load
from geojepa_cli.nn.geometry.fourier import FourierGeometry
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.stages.features import tag_features
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.features import open_features
from geojepa_cli.store.geometry import GeometryKind
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.prune import find_prunable

SETTINGS = {
    "model.embed_dim": 32,
    **TINY_TRAINING,
    "train.accumulation": 1,
}
SMALL = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
FONTS = {
    "glyphs.folder": str(Path(matplotlib.get_data_path()) / "fonts" / "ttf"),
    "glyphs.train_fonts": "{a: DejaVuSans.ttf}",
    "glyphs.test_fonts": "{b: DejaVuSansMono.ttf}",
    "glyphs.samples": 24,
    "glyphs.test_samples": 4,
    "model.dim": 16,
    "model.depth": 1,
    "train.batch_tokens": 12,
    "train.epochs": "null",
    "train.max_steps": 1,
}
TILE = "16_18052_25957"


@pytest.fixture
def workspace(demo: Workspace) -> Workspace:
    """The demo city without geometry vectors."""
    return demo


@pytest.fixture(scope="module")
def city_with_model(demo_city: DemoCity, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The demo city with a model of tags and geometry, the vectors that it reads, and its embeddings."""
    made = linked_copy(demo_city.workspace, tmp_path_factory.mktemp("with-model"))
    stages.embed(made, trained(made))
    return made


@pytest.fixture
def with_model(city_with_model: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the city with a model, which a test may change."""
    return linked_copy(city_with_model, tmp_path)


def vectors_of(workspace: Workspace, encoder: str = "fourier") -> list[Artifact]:
    return [made for made in workspace.artifacts("features") if made.params.get("geometry_encoder") == encoder]


def trained(workspace: Workspace, name: str = "g", **changes: object) -> Artifact:
    return stages.pretrain(workspace, "gt.yaml", set_=SETTINGS | changes, name=name)


def test_pretrain_and_embed_make_the_vectors_that_the_model_reads(workspace: Workspace) -> None:
    assert vectors_of(workspace) == []
    output_of(workspace, "pretrain", "--config", "gt.yaml", "--name", "g", "--threads", "1", *SMALL)
    (vectors,) = vectors_of(workspace)
    model = workspace.find("models", "g")
    assert vectors.full_ref in model.inputs and model.params["config"]["model"]["geometry_version"] == "v1"
    assert "Geometry encoder: fourier v1, 336 values" in model.file("model_card.md").read_text()
    assert "GeoJEPA-GT" in model.file("model_card.md").read_text()

    processed = workspace.find("processed", "demo")
    store = TileStore.open([processed.file("processed.h5")])
    nodes = store.read(View.full(store), range(store.n_tiles), frozenset({Modality.NODES}))
    with h5py.File(vectors.file("geometry.h5")) as file:
        stored = torch.from_numpy(file["vector"][:])
    assert torch.equal(stored[nodes.piece_rows], FourierGeometry()(nodes).half())

    workspace.remove(vectors)
    answer = json.loads(output_of(workspace, "embed", "--model", "g", "--threads", "1", "--json"))
    (again,) = vectors_of(workspace)
    assert again.full_ref == vectors.full_ref
    made = workspace.find("embeddings", "g.demo")
    assert again.full_ref in made.inputs and answer["result"]["counts"]["width"] == 32
    found = Embeddings(made.file("embeddings.h5"))
    assert found.n_tiles > 50 and np.isfinite(found["tile/vector"]).all()
    output_of(workspace, "knn", "--model", "g", "--tile", TILE, "--k", "2", "--threads", "1")


def test_embeddings_are_those_of_the_target_encoder_with_geometry(city_with_model: Workspace) -> None:
    workspace = city_with_model
    made, processed = workspace.find("embeddings", "g.demo"), workspace.find("processed", "demo")
    (vectors,) = vectors_of(workspace)
    store = TileStore.open([processed.file("processed.h5")], geometry=[vectors.file("geometry.h5")])
    tags = open_features([tag_features(workspace, processed).file("tags.h5")], store)
    listed = TagList(store.keys, store.values)
    embedder = find_model(workspace, "g").open(FrozenInputs(tags.table, store.geometry_kind, tags=listed))
    view = View.default(store)
    with torch.inference_mode():
        batch = store.read(view, view.tiles, embedder.needs)
        whole, without = embedder.encode(batch), embedder.encode(store.read(view, view.tiles))
    found = Embeddings(made.file("embeddings.h5"))
    np.testing.assert_allclose(found["tile/vector"], whole.tiles.numpy(), atol=1e-4)
    assert not torch.allclose(whole.tiles, without.tiles, atol=1e-3)
    assert bool(without.tiles.isfinite().all())


def test_process_makes_the_vectors_once_and_by_default_none(workspace: Workspace) -> None:
    process = ("process", "--threads", "1")
    default = json.loads(output_of(workspace, *process, "--json"))["result"]
    assert vectors_of(workspace) == [] and default["geometry"] is None
    made = json.loads(output_of(workspace, *process, "--geometry-encoder", "fourier", "--json"))["result"]
    (vectors,) = vectors_of(workspace)
    assert made["geometry"] == vectors.ref and made["features"] == default["features"]
    before = vectors.file("geometry.h5").stat()
    again = invoke(workspace, *process, "--geometry-encoder", "fourier")
    assert f"{vectors.full_ref} is up to date, skipping" in again.stderr
    assert vectors.file("geometry.h5").stat() == before
    trained(workspace)
    assert vectors_of(workspace) == [vectors]
    assert vectors not in find_prunable(workspace.everything())
    assert "fourier" in output_of(workspace, "artifacts")


def test_models_without_geometry_neither_make_nor_take_the_vectors(workspace: Workspace) -> None:
    output_of(workspace, "process", "--geometry-encoder", "fourier", "--threads", "1")
    (vectors,) = vectors_of(workspace)
    (made,) = stages.embed(workspace, "tagpool", "demo")
    model = stages.pretrain(workspace, "tiny.yaml", set_={"train.max_steps": 0}, name="t")
    for artifact in (made, model):
        assert vectors.full_ref not in artifact.inputs
        assert any(ref.startswith("features/demo@") for ref in artifact.inputs)


@pytest.mark.parametrize("damage", ["truncated", "zeroed", "not finite"])
def test_damaged_vectors_are_refused_and_the_hint_repairs_them(with_model: Workspace, damage: str) -> None:
    workspace, model = with_model, with_model.find("models", "g")
    workspace.remove(workspace.find("embeddings", "g.demo"))
    (vectors,) = vectors_of(workspace)
    path = vectors.file("geometry.h5")
    content = path.read_bytes()
    path.unlink()
    wrong = {"truncated": content[:-100], "zeroed": bytes(len(content)), "not finite": content}[damage]
    path.write_bytes(wrong)
    if damage == "not finite":
        with h5py.File(path, "r+") as file:
            file["vector"][7, 7] = np.nan
    error = refused(workspace, "embed", "--model", "g", "--threads", "1")
    assert isinstance(error, DataError) and "geometry.h5" in error.message
    if damage != "truncated":  # the command compared sizes only
        assert "artifacts --verify" in str(error.hint)
        error = refused(workspace, "artifacts", "--verify")
    assert "--geometry-encoder fourier" in str(error.hint)
    for words in split_hint(str(error.hint)):
        if words[0] == "rm":
            shutil.rmtree(words[-1])
        else:
            output_of(workspace, *words[words.index("process") :])
    output_of(workspace, "embed", "--model", "g", "--threads", "1")
    assert path.read_bytes() == content
    assert model.full_ref in workspace.find("embeddings", "g.demo").inputs


def test_the_rebuild_commands_make_the_same_vectors(workspace: Workspace) -> None:
    output_of(workspace, "process", "--geometry-encoder", "fourier", "--threads", "1")
    old = stages.pretrain(workspace, "geometry.yaml", set_=FONTS, name="shapes")
    output_of(workspace, "process", "--geometry-encoder", "polygon_gnn", "--threads", "1")
    newer = stages.pretrain(workspace, "geometry.yaml", set_=FONTS, name="shapes", seed=1)
    for made in (*vectors_of(workspace), *vectors_of(workspace, "polygon_gnn")):
        content = made.file("geometry.h5").read_bytes()
        hint = made.broken("damaged").hint
        assert hint is not None
        check_hint(str(hint))
        shutil.rmtree(made.path)
        words = str(made.rebuild_hint()).split()
        assert words[:3] == ["geojepa", "--workspace", str(workspace.root)]
        output_of(workspace, *words[3:])
        assert made.file("geometry.h5").read_bytes() == content
        assert (newer.full_ref in made.inputs) is False
    assert old.full_ref in vectors_of(workspace, "polygon_gnn")[0].inputs


def test_overwritten_weights_of_an_encoder_make_no_vectors(workspace: Workspace) -> None:
    encoder = stages.pretrain(workspace, "geometry.yaml", set_=FONTS, name="shapes")
    weights = encoder.file("weights.safetensors")
    whole = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(whole[:-4096] + bytes(byte ^ 0x55 for byte in whole[-4096:]))
    before = len(vectors_of(workspace, "polygon_gnn"))
    error = refused(workspace, "process", "--geometry-encoder", "shapes", "--threads", "1")
    assert isinstance(error, DataError) and f"`{weights}` is damaged" in error.message
    assert "pretrain --config" in str(error.hint)
    assert len(vectors_of(workspace, "polygon_gnn")) == before


def test_a_model_reads_the_vectors_of_the_encoder_that_it_was_trained_with(workspace: Workspace) -> None:
    encoder = stages.pretrain(workspace, "geometry.yaml", set_=FONTS, name="shapes")
    gnn = {"model.geometry_encoder": "polygon_gnn", "model.geometry_dim": 16}
    model = trained(workspace, "p", **gnn)
    version = encoder.manifest["files"]["weights.safetensors"]["sha256"][:12]
    version = f"sha256-{version}"
    assert model.params["config"]["model"]["geometry_version"] == version
    (vectors,) = vectors_of(workspace, "polygon_gnn")
    assert encoder.full_ref in vectors.inputs and vectors.full_ref in model.inputs
    stages.pretrain(workspace, "geometry.yaml", set_=FONTS, name="newer", seed=3)
    (made,) = stages.embed(workspace, "p")
    assert vectors.full_ref in made.inputs and len(vectors_of(workspace, "polygon_gnn")) == 1
    assert find_model(workspace, None).name == "p"  # not a geometry encoder, though these are newer

    workspace.remove(encoder)
    (again,) = stages.embed(workspace, "p", min_entities=1)
    assert vectors.full_ref in again.inputs
    workspace.remove(vectors)
    error = refused(workspace, "embed", "--model", "p", "--max-entities", "100", "--threads", "1")
    assert isinstance(error, NotFoundError) and version in error.message


def test_vectors_of_another_kind_are_refused(city_with_model: Workspace) -> None:
    model = city_with_model.find("models", "g")
    table, listed = torch.zeros(1, 384), TagList(["building"], ["yes"])
    right = GeometryKind("fourier", "v1", 336)
    for kind in (right._replace(encoder="polygon_gnn"), right._replace(version="v2"), right._replace(dim=9)):
        with pytest.raises(FeatureMismatchError, match="the model reads geometry vectors") as caught:
            load(model.path, FrozenInputs(table, kind))
        assert caught.value.hint is not None and "process" in str(caught.value.hint)
    assert load(model.path, FrozenInputs(table, right, tags=listed)).needs == model_needs()
    assert load(model.path, FrozenInputs(table, tags=listed)).needs == model_needs()


def model_needs() -> frozenset[Modality]:
    return frozenset({Modality.TAGS, Modality.GEOMETRY})


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ["process", "--geometry-encoder", "fouriere"],
            "unknown geometry encoder `fouriere`",
            "--geometry-encoder fourier",
        ),
        (["process", "--geometry-encoder", "demo"], "is not a geometry encoder", "--geometry-encoder fourier"),
        (
            ["pretrain", "--config", "gt.yaml", "--set", "model.geometry_dim=7"],
            "`fourier` v1 (7 values)",
            "--set model.geometry_dim=336",
        ),
        (
            ["pretrain", "--config", "gt.yaml", "--set", "model.geometry_version=v0"],
            "`fourier` v0",
            "process --geometry-encoder fourier",
        ),
    ],
)
def test_wrong_encoders_are_refused_before_any_work(
    workspace: Workspace, words: list[str], message: str, hint: str
) -> None:
    error = refused(workspace, *words)
    assert message in error.message and hint in str(error.hint)
    assert vectors_of(workspace) == []
