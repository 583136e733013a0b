"""Models with geometry, and `process`, with the geometry encoder that comes with the package, on the demo city."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from commandline import invoke
from demo_workspace import DemoCity
from hint_commands import check_hint
from shipped_models import install_geometry
from test_geometry import FONTS, SMALL, refused, run, trained, vectors_of

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
def workspace(demo_city: DemoCity, tmp_path: Path) -> Workspace:
    """The demo city without geometry vectors and without a trained geometry encoder."""
    shutil.copytree(demo_city.folder / "workspace", tmp_path / "workspace", copy_function=os.link)
    return Workspace(tmp_path / "workspace")


def only_vectors(workspace: Workspace) -> Artifact:
    (made,) = vectors_of(workspace, "polygon_gnn")
    return made


def test_the_thesis_model_with_geometry_trains_without_training_an_encoder_first(workspace: Workspace) -> None:
    run(workspace, "pretrain", "--config", "paper-gt.yaml", "--name", "gt", "--threads", "1", *SMALL)
    model, vectors = workspace.find("models", "gt"), only_vectors(workspace)
    assert vectors.full_ref in model.inputs and model.counts["steps"] == 2
    settings = model.params["config"]["model"]
    weights = open_shipped(SHIPPED_GEOMETRY).weights_sha256
    assert (settings["geometry_encoder"], settings["geometry_dim"]) == ("polygon_gnn", 256)
    assert settings["geometry_version"] == f"sha256-{weights[:12]}"
    run(workspace, "embed", "--model", "gt", "--threads", "1")
    assert vectors.full_ref in workspace.find("embeddings", "gt.demo").inputs


def test_every_kind_of_entity_has_finite_and_different_vectors(workspace: Workspace) -> None:
    run(workspace, *PROCESS, "polygon_gnn")
    region = RegionStore(workspace.find("processed", "demo").file("processed.h5"))
    with h5py.File(only_vectors(workspace).file("geometry.h5")) as file:
        vectors = file["vector"][:]
    assert vectors.shape == (region.n_pieces, 256) and np.isfinite(vectors).all()
    kinds = region["object/kind"][region["piece/object"]]
    centres = {name: vectors[kinds == kind].astype(np.float64).mean(0) for name, kind in KIND.items()}
    for name in ("line", "area"):
        assert len(np.unique(vectors[kinds == KIND[name]], axis=0)) > 20
    distances = [np.linalg.norm(centres[a] - centres[b]) for a in KIND for b in KIND if a < b]
    assert min(distances) > 0.1 * np.linalg.norm(centres["area"])


def test_a_trained_encoder_comes_first_but_the_name_selects_the_shipped_one(workspace: Workspace) -> None:
    own = stages.pretrain(workspace, "geometry.yaml", set_=FONTS, name="shapes")
    run(workspace, *PROCESS, "polygon_gnn")
    assert own.full_ref in only_vectors(workspace).inputs
    run(workspace, *PROCESS, SHIPPED_GEOMETRY)
    first, second = vectors_of(workspace, "polygon_gnn")
    assert {first.params["geometry_dim"], second.params["geometry_dim"]} == {16, 256}
    with pytest.raises(UsageError, match="name of a model that comes with geojepa"):
        stages.pretrain(workspace, "geometry.yaml", set_=FONTS, name=SHIPPED_GEOMETRY)


def test_a_model_keeps_reading_the_shipped_encoder_when_another_one_is_trained(workspace: Workspace) -> None:
    trained(workspace, "p", **{"model.geometry_encoder": "polygon_gnn", "model.geometry_dim": 256})
    vectors = only_vectors(workspace)
    stages.pretrain(workspace, "geometry.yaml", set_=FONTS, name="newer")
    workspace.remove(vectors)
    (made,) = stages.embed(workspace, "p")
    assert vectors.full_ref in made.inputs and only_vectors(workspace).id == vectors.id


def test_rebuild_commands_select_the_shipped_encoder(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = install_geometry(tmp_path, monkeypatch)
    run(workspace, *PROCESS, "polygon_gnn")
    made = only_vectors(workspace)
    assert not any(ref.startswith("models/") for ref in made.inputs)
    shown = run(workspace, "artifacts", "--lineage", made.full_ref)
    assert f"{model.ref}  (comes with geojepa)" in shown
    stages.pretrain(workspace, "geometry.yaml", set_=FONTS, name="newer")
    content, hint = made.file("geometry.h5").read_bytes(), str(made.rebuild_hint())
    check_hint(hint)
    shutil.rmtree(made.path)
    run(workspace, *hint.split()[3:])
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
    answer = json.loads(run(workspace, "embed", "--model", SHIPPED_GEOMETRY, "--threads", "1", "--json"))
    assert answer["result"]["model"] == model.ref and answer["result"]["counts"]["width"] == 256
    assert workspace.find("embeddings", f"{SHIPPED_GEOMETRY}.demo").params["weights_sha256"] == model.weights_sha256
