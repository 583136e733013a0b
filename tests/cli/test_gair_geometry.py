"""Vectors that a GAIR model reads from images, as an input of GeoJEPA: `model.geometry_encoder: gair`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from painted_workspace import PaintedWorkspace, painted_workspace
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import FeatureMismatchError, NotFoundError
from geojepa_cli.nn.geometry.fourier import FourierGeometry
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.stages.geometry_features import find_geometry, geometry_features
from geojepa_cli.stages.geometry_source import find_encoder
from geojepa_cli.stages.trained_groups import groups_of
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.geometry import GeometryStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.workspace.artifact import Artifact

FOURIER, WIDTH = FourierGeometry().dim, 16
SETTINGS = {
    **{"model.tag_dim": 16, "model.embed_dim": 16, "model.depth": 1, "model.num_heads": 2, "model.predictor_depth": 1},
    **{"model.modalities": ["tags", "geometry"], "model.geometry_encoder": "gair"},
    **{"model.geometry_dim": FOURIER + WIDTH, "train.max_steps": 2, "train.batch_tokens": 400},
}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> PaintedWorkspace:
    """A painted region, of which 40 of 64 tiles have an image, and a GAIR model."""
    return painted_workspace(tmp_path_factory.mktemp("localised"))


def read(workspace: Workspace, region: Artifact) -> GeometryStore:
    made = geometry_features(workspace, region, find_encoder(workspace, "gair"))
    return GeometryStore(made.file("geometry.h5"), TileStore.open([region.file("processed.h5")]).n_pieces, region.name)


def test_vectors_are_those_of_fourier_and_those_that_the_gair_model_embeds(town: PaintedWorkspace) -> None:
    workspace = town.workspace
    region = workspace.find("processed", "town")
    plain = geometry_features(workspace, region, find_encoder(workspace, "fourier"))
    pieces = TileStore.open([region.file("processed.h5")]).n_pieces
    shapes = GeometryStore(plain.file("geometry.h5"), pieces, "town").vector
    found = read(workspace, region)
    assert found.kind.encoder == "gair" and found.vector.shape == (pieces, FOURIER + WIDTH)
    np.testing.assert_array_equal(found.vector[:, :FOURIER], shapes)

    embedded = stages.embed(workspace, town.model, "town", min_entities=1)
    vectors = Embeddings((embedded[0] if isinstance(embedded, list) else embedded).file("embeddings.h5"))
    store = TileStore.open([region.file("processed.h5")])
    view = View.default(store, 1, None)
    rows = store.read(view, view.tiles).piece_rows.numpy()
    local = found.vector[rows, FOURIER:].astype(np.float32)
    np.testing.assert_allclose(local, vectors["entity/vector"].astype(np.float32), atol=2e-3)
    lengths = np.linalg.norm(local, axis=1)
    assert 0 < (lengths == 0).mean() < 1  # tiles without an image
    np.testing.assert_allclose(lengths[lengths > 0], 1, atol=2e-3)


def test_a_model_is_trained_on_them_and_saw_what_the_gair_model_saw(town: PaintedWorkspace) -> None:
    workspace = town.workspace
    add_region(workspace, "plain", 3, 80, corner=(19000, 25956))
    made = stages.pretrain(workspace, "tiny.yaml", "plain", SETTINGS, name="with-gair")
    assert made.params["config"]["model"]["geometry_version"].startswith("sha256-")
    seen = {one: groups_of(find_model(workspace, one)) for one in ("with-gair", "gair")}
    assert seen["with-gair"] is not None and seen["gair"] is not None
    assert set(seen["gair"].tolist()) < set(seen["with-gair"].tolist())
    untrained = stages.pretrain(
        workspace, "tiny.yaml", "plain", {**SETTINGS, "train.max_steps": 0}, name="with-gair-first"
    )
    first = groups_of(find_model(workspace, untrained.ref))
    assert first is not None and first.tolist() == seen["gair"].tolist()
    assert not read(workspace, workspace.find("processed", "plain")).vector[:, FOURIER:].any()  # it has no images
    (embedded,) = [stages.embed(workspace, made, "town", min_entities=1)]
    assert embedded


def test_other_images_of_a_region_give_other_vectors(tmp_path: Path) -> None:
    town = painted_workspace(tmp_path)
    workspace, region = town.workspace, town.workspace.find("processed", "town")
    encoder = find_encoder(workspace, "gair")
    first = geometry_features(workspace, region, encoder)
    images = workspace.find("images", "town")
    source = workspace.find("source", "town")
    with workspace.build("images", "town", {"zoom": 16, "again": True}, [source]) as build:
        (build.partial / "images.h5").write_bytes(images.file("images.h5").read_bytes())
        newer = build.publish()
    assert find_geometry(workspace, region, encoder) is None
    second = geometry_features(workspace, region, encoder)
    assert second.ref != first.ref and newer.full_ref in second.inputs


def test_process_computes_them_by_name_and_wrong_ones_are_refused(town: PaintedWorkspace, tmp_path: Path) -> None:
    workspace = town.workspace
    assert find_encoder(workspace, town.model.ref).kind == find_encoder(workspace, "gair").kind
    with pytest.raises(FeatureMismatchError) as caught:
        stages.pretrain(workspace, "tiny.yaml", "town", {**SETTINGS, "model.geometry_dim": 336}, name="narrow")
    assert f"model.geometry_dim={FOURIER + WIDTH}" in str(caught.value.hint)
    empty = Workspace(tmp_path / "empty")
    add_region(empty, "plain", 3, 80)
    with pytest.raises(NotFoundError, match="no GAIR model") as missing:
        stages.pretrain(empty, "tiny.yaml", "plain", SETTINGS)
    assert "gair.yaml" in str(missing.value.hint)
