"""`geojepa knn --at` with a GAIR model: a point of an image, or a location, finds entities."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import invoke
from hint_commands import check_hint, split_hint
from painted_store import PER_TILE
from painted_workspace import IMAGES, PaintedWorkspace, painted_workspace

from geojepa_cli import stages
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.gair.embedder import load
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.images import ImageStore


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> PaintedWorkspace:
    return painted_workspace(tmp_path_factory.mktemp("painted"))


@pytest.fixture(scope="module")
def vectors(town: PaintedWorkspace) -> Embeddings:
    (made,) = stages.embed(town.workspace, "gair", "town")
    return Embeddings(made.file("embeddings.h5"))


def place(town: PaintedWorkspace, entity: int) -> str:
    lon, lat = town.painted.lonlat[entity].tolist()
    return f"{lon:.8f},{lat:.8f}"


def knn(town: PaintedWorkspace, at: str, **options: Any) -> dict[str, Any]:
    return dict(stages.knn(town.workspace, at=at, model="gair", **options).read_json("neighbours.json"))


def expected(town: PaintedWorkspace, vectors: Embeddings, query: np.ndarray, k: int) -> list[str]:
    """The nearest entities by NumPy, of which each is in one tile."""
    stored = vectors["entity/vector"].astype(np.float64)
    stored /= np.maximum(np.linalg.norm(stored, axis=1, keepdims=True), 1e-12)
    return [vectors.entity_ref(row) for row in np.argsort(-stored @ query, kind="stable")[:k].tolist()]


def test_a_point_with_an_image_finds_the_entities_that_numpy_finds(town: PaintedWorkspace, vectors: Embeddings) -> None:
    entity = 3 * PER_TILE + 1
    found = knn(town, place(town, entity), k=5, space="raw")
    (part,) = found["parts"]
    assert found["level"] == "entity" and part["read_from"] == "image"
    assert "read at this point of the image" in part["note"]
    images = ImageStore(town.workspace.find("images", "town").file("images.h5"))
    embedder = load(town.model.path, FrozenInputs(torch.zeros(1, 16)))
    uv = torch.tensor(town.painted.pixel[[entity]] / 224).float()
    with torch.no_grad():
        features = embedder.feature_maps(torch.from_numpy(np.array(images.image[[3]])))
        read = embedder.at_points(features, uv, torch.zeros(1, dtype=torch.int64))[0].double().numpy()
    names = [one["entity"] for one in found["neighbours"]]
    assert names == expected(town, vectors, read, 5)


def test_a_point_without_an_image_is_compared_by_its_location(town: PaintedWorkspace, vectors: Embeddings) -> None:
    entity = (IMAGES + 4) * PER_TILE
    found = knn(town, place(town, entity), k=5, space="raw")
    (part,) = found["parts"]
    assert part["read_from"] == "location" and "has no image" in part["note"]
    embedder = load(town.model.path, FrozenInputs(torch.zeros(1, 16)))
    lonlat = torch.tensor(town.painted.lonlat[[entity]])
    with torch.no_grad():
        query = embedder.at_places(lonlat)[0].double().numpy()
    assert [one["entity"] for one in found["neighbours"]] == expected(town, vectors, query, 5)
    centred = knn(town, place(town, entity), k=5, space="centred")
    shifted = query - vectors["entity/place"].astype(float).mean(0)
    stored = vectors["entity/vector"].astype(np.float64)
    shown = stored.any(1)
    rows = stored - stored[shown].mean(0)
    scores = np.where(shown, rows @ shifted / np.linalg.norm(rows, axis=1) / np.linalg.norm(shifted), -1)
    best = np.argsort(-scores, kind="stable")[:5]
    assert [one["entity"] for one in centred["neighbours"]] == [vectors.entity_ref(int(row)) for row in best]
    np.testing.assert_allclose([one["score"] for one in centred["neighbours"]], scores[best], atol=1e-4)


def test_the_table_says_what_the_vector_was_read_from(town: PaintedWorkspace, vectors: Embeddings) -> None:
    for entity, words in ((0, "is read at this point of the image"), (63 * PER_TILE, "is that of the location")):
        shown = invoke(town.workspace, "knn", "--at", place(town, entity), "--model", "gair", "--html")
        text = " ".join(shown.output.split())
        assert shown.exit_code == 0 and words in text
        whole = ",".join(map(str, map(float, place(town, entity).split(","))))  # four decimals are 10 m
        assert f"{whole}: the vector" in text or f"{whole}: tile" in text


def test_tiles_and_other_models_search_tiles_as_before(town: PaintedWorkspace, vectors: Embeddings) -> None:
    at = place(town, 0)
    tiles = knn(town, at, level="tile")
    assert tiles["level"] == "tile" and tiles["parts"][0]["note"].startswith("the place is in tile")
    mixed = knn(town, at, like=[vectors.tile_name(9)])
    assert mixed["level"] == "tile" and "read_from" not in mixed["parts"][0]
    with_entity = knn(town, at, like=[vectors.entity_ref(9)])
    assert with_entity["level"] == "entity" and with_entity["parts"][0]["read_from"] == "image"
    plain = stages.knn(town.workspace, at=at, model="tagpool").read_json("neighbours.json")
    assert plain["level"] == "tile"
    with pytest.raises(UsageError, match="`--level entity` cannot be combined with `--at"):
        stages.knn(town.workspace, at=at, model="tagpool", level="entity")


def test_a_point_outside_the_regions_is_refused(town: PaintedWorkspace) -> None:
    with pytest.raises(NotFoundError, match="outside the regions") as caught:
        knn(town, "10.0,50.0")
    check_hint(str(caught.value.hint))


@pytest.mark.parametrize("options", [{}, {"level": "tile"}])
def test_the_rebuild_command_makes_the_same_artifact(town: PaintedWorkspace, options: dict[str, Any]) -> None:
    made = stages.knn(town.workspace, at=place(town, 7), model="gair", k=3, **options)
    before = Path(made.file("neighbours.json")).read_bytes()
    (words,) = split_hint(str(made.rebuild_hint()))
    shutil.rmtree(made.path)
    assert words[:3] == ["geojepa", "--workspace", str(town.workspace.root)]
    done = invoke(town.workspace, *words[3:])
    assert done.exit_code == 0 and made.file("neighbours.json").read_bytes() == before
