"""Models with geometry, and `process`, with the geometry encoder that comes with the package, on the demo city."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from commandline import invoke, output_of, refused
from demo_workspace import DemoCity, linked_copy
from hint_commands import check_hint
from shipped_models import install_geometry
from test_geometry import FONTS, SMALL, trained, vectors_of

from geojepa_cli import Workspace, stages
from geojepa_cli.config.names import CONFIG, WEIGHTS
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.stages import shipped
from geojepa_cli.stages.shipped import SHIPPED_GEOMETRY, open_shipped
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.schema import KIND
from geojepa_cli.workspace.artifact import Artifact

PROCESS = ("process", "--text-encoder", "none", "--threads", "1", "--geometry-encoder")


@pytest.fixture
def workspace(demo: Workspace) -> Workspace:
    """The demo city without geometry vectors and without a trained geometry encoder."""
    return demo


@pytest.fixture(scope="module")
def encoded_city(demo_city: DemoCity, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The demo city with a model of the thesis, which made the vectors of the shipped encoder, and its embeddings."""
    made = linked_copy(demo_city.workspace, tmp_path_factory.mktemp("encoded"))
    output_of(made, "pretrain", "--config", "paper-gt.yaml", "--name", "gt", "--threads", "1", *SMALL)
    output_of(made, "embed", "--model", "gt", "--threads", "1")
    return made


@pytest.fixture
def encoded(encoded_city: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the city with vectors of the shipped encoder, which a test may change."""
    return linked_copy(encoded_city, tmp_path)


def only_vectors(workspace: Workspace) -> Artifact:
    (made,) = vectors_of(workspace, "polygon_gnn")
    return made


def test_the_thesis_model_with_geometry_trains_without_training_an_encoder_first(encoded_city: Workspace) -> None:
    model, vectors = encoded_city.find("models", "gt"), only_vectors(encoded_city)
    assert vectors.full_ref in model.inputs and model.counts["steps"] == 2
    settings = model.params["config"]["model"]
    weights = open_shipped(SHIPPED_GEOMETRY).weights_sha256
    assert (settings["geometry_encoder"], settings["geometry_dim"]) == ("polygon_gnn", 256)
    assert settings["geometry_version"] == f"sha256-{weights[:12]}"
    assert vectors.full_ref in encoded_city.find("embeddings", "gt.demo").inputs


def test_every_kind_of_entity_has_finite_and_different_vectors(encoded_city: Workspace) -> None:
    region = RegionStore(encoded_city.find("processed", "demo").file("processed.h5"))
    with h5py.File(only_vectors(encoded_city).file("geometry.h5")) as file:
        vectors = file["vector"][:]
    assert vectors.shape == (region.n_pieces, 256) and np.isfinite(vectors).all()
    kinds = region["object/kind"][region["piece/object"]]
    centres = {name: vectors[kinds == kind].astype(np.float64).mean(0) for name, kind in KIND.items()}
    for name in ("line", "area"):
        assert len(np.unique(vectors[kinds == KIND[name]], axis=0)) > 20
    distances = [np.linalg.norm(centres[a] - centres[b]) for a in KIND for b in KIND if a < b]
    assert min(distances) > 0.1 * np.linalg.norm(centres["area"])


def test_a_trained_encoder_comes_first_but_the_name_selects_the_shipped_one(encoded: Workspace) -> None:
    shipped_vectors = only_vectors(encoded)
    own = stages.pretrain(encoded, "geometry.yaml", set_=FONTS, name="shapes")
    chosen = json.loads(output_of(encoded, *PROCESS, "polygon_gnn", "--json"))["result"]["geometry"]
    assert own.full_ref in encoded.find("features", chosen).inputs and chosen != shipped_vectors.ref
    chosen = json.loads(output_of(encoded, *PROCESS, SHIPPED_GEOMETRY, "--json"))["result"]["geometry"]
    assert chosen == shipped_vectors.ref
    dims = {made.ref: made.params["geometry_dim"] for made in vectors_of(encoded, "polygon_gnn")}
    assert sorted(dims.values()) == [16, 256] and dims[chosen] == 256
    with pytest.raises(UsageError, match="name of a model that comes with geojepa"):
        stages.pretrain(encoded, "geometry.yaml", set_=FONTS, name=SHIPPED_GEOMETRY)


def test_a_model_keeps_reading_the_shipped_encoder_when_another_one_is_trained(encoded: Workspace) -> None:
    vectors = only_vectors(encoded)
    stages.pretrain(encoded, "geometry.yaml", set_=FONTS, name="newer")
    for made in (vectors, encoded.find("embeddings", "gt.demo")):
        encoded.remove(made)
    (embeddings,) = stages.embed(encoded, "gt")
    assert vectors.full_ref in embeddings.inputs and only_vectors(encoded).id == vectors.id


def test_rebuild_commands_select_the_shipped_encoder(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = install_geometry(tmp_path, monkeypatch)
    output_of(workspace, *PROCESS, "polygon_gnn")
    made = only_vectors(workspace)
    assert not any(ref.startswith("models/") for ref in made.inputs)
    shown = output_of(workspace, "artifacts", "--lineage", made.full_ref)
    assert f"{model.ref}  (comes with geojepa)" in shown
    stages.pretrain(workspace, "geometry.yaml", set_=FONTS, name="newer")
    content, hint = made.file("geometry.h5").read_bytes(), str(made.rebuild_hint())
    check_hint(hint)
    shutil.rmtree(made.path)
    output_of(workspace, *hint.split()[3:])
    assert made.file("geometry.h5").read_bytes() == content
    other = install_geometry(tmp_path, monkeypatch, seed=1)
    assert other.ref != model.ref
    assert f"with a version of geojepa that comes with the model {model.ref}" in str(made.rebuild_hint())
    error = refused(workspace, *PROCESS, model.ref)
    assert isinstance(error, NotFoundError) and other.ref in error.message
    assert f"--geometry-encoder {SHIPPED_GEOMETRY}" in str(error.hint)


def test_vectors_of_another_version_of_the_package_still_serve_models(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_geometry(tmp_path, monkeypatch)
    trained(workspace, "p", **{"model.geometry_encoder": "polygon_gnn", "model.geometry_dim": 16})
    vectors = only_vectors(workspace)
    install_geometry(tmp_path, monkeypatch, seed=1)
    (made,) = stages.embed(workspace, "p")
    assert vectors.full_ref in made.inputs
    workspace.remove(vectors)
    error = refused(workspace, "embed", "--model", "p", "--max-entities", "100", "--threads", "1")
    assert isinstance(error, NotFoundError) and vectors.params["geometry_version"] in error.message


@pytest.mark.parametrize(
    ("name", "content"), [(WEIGHTS, b"no tensors"), (WEIGHTS, None), (CONFIG, b"family: jepa"), (CONFIG, b"model: {")]
)
def test_a_damaged_encoder_is_an_error_with_the_command_that_installs_it(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes | None
) -> None:
    path = install_geometry(tmp_path, monkeypatch).folder / name
    path.write_bytes(content) if content is not None else path.write_bytes(path.read_bytes()[:-8])
    error = invoke(workspace, *PROCESS, "polygon_gnn").exception
    assert isinstance(error, DataError)
    assert str(error.hint) == "pip install --force-reinstall geojepa"
    assert vectors_of(workspace, "polygon_gnn") == []


@pytest.mark.parametrize(
    "words", [["process", "--geometry-encoder", "polygon_gnn"], ["pretrain", "--config", "paper-gt.yaml"]]
)
def test_without_any_encoder_the_hint_trains_one(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "empty")
    error = refused(workspace, *words)
    assert "no trained geometry encoder" in error.message and "--config geometry.yaml" in str(error.hint)
    assert vectors_of(workspace, "polygon_gnn") == []


def test_it_can_embed_tiles_by_itself(workspace: Workspace) -> None:
    model = open_shipped(SHIPPED_GEOMETRY)
    answer = json.loads(output_of(workspace, "embed", "--model", SHIPPED_GEOMETRY, "--threads", "1", "--json"))
    assert answer["result"]["model"] == model.ref and answer["result"]["counts"]["width"] == 256
    assert workspace.find("embeddings", f"{SHIPPED_GEOMETRY}.demo").params["weights_sha256"] == model.weights_sha256
