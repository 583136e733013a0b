"""Photos through the commands: training with them, `knn --photo`, `heatmap --photo`, and clear errors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import exif_bytes as eb
import numpy as np
import pytest
import rasterio
import torch
from commandline import invoke
from hint_commands import check_hint
from painted_store import to_lonlat
from painted_workspace import SETTINGS, PaintedWorkspace, painted_workspace
from PIL import Image
from safetensors.torch import load_file

from geojepa_cli import stages
from geojepa_cli.errors import DataError, GeojepaError, NotFoundError, UsageError
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.gair.embedder import load
from geojepa_cli.sources.photos import open_photo
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.photo_table import PhotoBatch
from geojepa_cli.store.photos import PhotoRow, PhotoStore, write_photos
from geojepa_cli.workspace.artifact import Artifact

PHOTOS = {"ground.photos": "true", "ground.photo_patch_px": 56, "ground.photo_depth": 1, "ground.photo_queries": 8}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> PaintedWorkspace:
    """The painted region with 24 photos, and a model without them."""
    made = painted_workspace(tmp_path_factory.mktemp("painted"))
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        lon, lat = to_lonlat(made.painted.tiles[number], rng.uniform(0.1, 0.9, 2))
        pixels = np.kron(rng.integers(0, 255, (3, 8, 8), np.uint8), np.ones((1, 28, 28), np.uint8))
        rows.append(PhotoRow(f"{number}.jpg", float(lon), float(lat), number * 15.0, float("nan"), pixels))
    source = made.workspace.find("source", "town")
    with made.workspace.build("photos", "town", {"seed": 0}, [source]) as build:
        write_photos(build.partial / "photos.h5", rows)
        (build.partial / "dropped.json").write_text("[]\n")
        build.publish(attribution=["Photos: Ada"])
    return made


@pytest.fixture(scope="module")
def model(town: PaintedWorkspace) -> Artifact:
    return stages.pretrain(town.workspace, "gair.yaml", "town", {**SETTINGS, **PHOTOS}, "seen")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG with heading and focal length, and with a place far from the region."""
    heading = {16: eb.ascii_("T"), 17: eb.rationals((120, 1))}
    metadata = eb.exif({}, {eb.FOCAL_35MM: eb.short(28)}, {**eb.gps((13, 12, 0), (55, 42, 0)), **heading})
    return eb.write_photo(tmp_path_factory.mktemp("photo") / "street.jpg", metadata)


def vector_of(model: Artifact, path: Path) -> np.ndarray:
    embedder = load(model.path, FrozenInputs(torch.zeros(1, 16)))
    with open_photo(path) as opened:
        field = opened.field_of_view_of_square(opened.field_of_view)
        pixels = torch.from_numpy(opened.square()[None])
    with torch.no_grad():
        return (
            embedder.describe_photos(PhotoBatch(pixels, torch.tensor([120.0]), torch.tensor([field])))[0]
            .double()
            .numpy()
        )


def test_photos_are_inputs_of_the_model_and_named_on_its_card(town: PaintedWorkspace, model: Artifact) -> None:
    assert {ref.partition("/")[0] for ref in model.inputs} == {"processed", "features", "images", "photos"}
    assert "street-level photos, never their place" in model.file("model_card.md").read_text()
    assert "Photos: Ada" in model.attribution and model.counts["photo_parameters"] > 0
    assert not any(ref.startswith("photos/") for ref in town.model.inputs)


def test_an_exported_model_has_no_places_of_the_training(town: PaintedWorkspace, model: Artifact, photo: Path) -> None:
    """Otherwise, whoever gets the model knows where private photos were taken."""
    assert load_file(model.file("weights.safetensors"))["queue.lonlat"].any()
    made = stages.export_model(town.workspace, "seen")
    weights = load_file(made.file("model.safetensors"))
    assert not any(weights[f"queue.{name}"].any() for name in ("lonlat", "groups", "pushed"))
    assert made.counts["parameters"] == sum(one.numel() for name, one in weights.items() if "queue" not in name)
    link = made.path / "weights.safetensors"
    link.symlink_to(made.file("model.safetensors"))
    expected, found = (vector_of(one, photo) for one in (model, made))
    link.unlink()
    np.testing.assert_array_equal(found, expected)


def test_a_photo_finds_the_entities_and_photos_that_numpy_finds(
    town: PaintedWorkspace, model: Artifact, photo: Path
) -> None:
    found = stages.knn(town.workspace, photo=photo, model="seen", k=4, space="raw").read_json("neighbours.json")
    query = vector_of(model, photo)
    (made,) = stages.embed(town.workspace, "seen", "town")
    vectors = Embeddings(made.file("embeddings.h5"))
    stored = vectors["entity/vector"].astype(np.float64)
    stored /= np.maximum(np.linalg.norm(stored, axis=1, keepdims=True), 1e-12)
    best = np.argsort(-stored @ query, kind="stable")[:4]
    assert found["level"] == "entity"
    assert [one["entity"] for one in found["neighbours"]] == [vectors.entity_ref(int(row)) for row in best]
    store = PhotoStore(town.workspace.find("photos", "town").file("photos.h5"))
    embedder = load(model.path, FrozenInputs(torch.zeros(1, 16)))
    every = PhotoBatch(*(torch.from_numpy(np.array(one)) for one in (store.image, store.heading, store.field_of_view)))
    with torch.no_grad():
        scores = embedder.describe_photos(every).double().numpy() @ query
    order = np.argsort(-scores, kind="stable")[:4]
    assert [one["file"] for one in found["photos"]] == [store.name(int(row)) for row in order]
    np.testing.assert_allclose([one["score"] for one in found["photos"]], scores[order], atol=1e-5)
    assert "heading 120°" in found["parts"][0]["note"] and "place in EXIF is not used" in found["parts"][0]["note"]


def test_means_of_photos_are_subtracted_in_centred_spaces(town: PaintedWorkspace, model: Artifact, photo: Path) -> None:
    found = stages.knn(town.workspace, photo=photo, model="seen", k=3, space="centred").read_json("neighbours.json")
    (made,) = stages.embed(town.workspace, "seen", "town")
    vectors = Embeddings(made.file("embeddings.h5"))
    stored = vectors["entity/vector"].astype(np.float64)
    shown = stored.any(1)
    store = PhotoStore(town.workspace.find("photos", "town").file("photos.h5"))
    embedder = load(model.path, FrozenInputs(torch.zeros(1, 16)))
    every = PhotoBatch(*(torch.from_numpy(np.array(one)) for one in (store.image, store.heading, store.field_of_view)))
    with torch.no_grad():
        query = vector_of(model, photo) - embedder.describe_photos(every).double().numpy().mean(0)
    rows = stored - stored[shown].mean(0)
    scores = np.where(shown, rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query), -1)
    best = np.argsort(-scores, kind="stable")[:3]
    assert [one["entity"] for one in found["neighbours"]] == [vectors.entity_ref(int(row)) for row in best]


def test_the_place_in_exif_changes_nothing(
    town: PaintedWorkspace, model: Artifact, photo: Path, tmp_path: Path
) -> None:
    heading = {16: eb.ascii_("T"), 17: eb.rationals((120, 1))}
    metadata = eb.exif({}, {eb.FOCAL_35MM: eb.short(28)}, {**eb.gps((80, 51, 0), (35, 0, 0), "W"), **heading})
    other = eb.write_photo(tmp_path / "other.jpg", metadata)
    first, second = (
        stages.knn(town.workspace, photo=one, model="seen", k=3).read_json("neighbours.json") for one in (photo, other)
    )
    assert first["neighbours"] == second["neighbours"] and first["photos"] == second["photos"]


def test_a_photo_is_combined_with_an_element_and_printed(town: PaintedWorkspace, model: Artifact, photo: Path) -> None:
    given = ("knn", "--photo", str(photo), "--like", "node/5", "--model", "seen", "--html")
    done = invoke(town.workspace, *given)
    assert done.exit_code == 0, done.exception
    text = " ".join(done.output.split())
    assert (
        "Most similar to the photo, node/5" in text and "Most similar photos" in text and "the photo: heading" in text
    )


def test_a_heatmap_of_a_photo(town: PaintedWorkspace, model: Artifact, photo: Path) -> None:
    made = stages.heatmap(town.workspace, photo=photo, model="seen", resolution=32)
    content = made.read_json("heatmap.json")
    assert content["query"]["read_from"] == "photo" and "lon" not in content["query"]
    embedder = load(model.path, FrozenInputs(torch.zeros(1, 16)))
    images = town.workspace.find("images", "town")
    store = ImageStore(images.file("images.h5"))
    tile = store.zxy[0]
    with torch.no_grad():
        features = embedder.feature_maps(torch.from_numpy(np.array(store.image[[0]])))
        uv = torch.tensor([[(5 + 0.5) / 16, (9 + 0.5) / 16]])
        read = embedder.at_points(features, uv, torch.zeros(1, dtype=torch.int64))[0].double().numpy()
    with rasterio.open(made.file("heatmap.tif")) as file:
        values = file.read(1)
    corner = store.zxy[:, 1:].min(0)
    column, row = ((tile[1:] - corner) * 16 + (5, 9)).tolist()
    assert values[row, column] == pytest.approx(float(read @ vector_of(model, photo)), abs=2e-5)
    page = made.file("heatmap.html").read_text(encoding="utf-8")
    assert "Q: the query" not in page and "outside this map" not in page
    check_hint(str(made.rebuild_hint()))
    assert (
        invoke(town.workspace, "heatmap", "--photo", str(photo), "--model", "seen", "--resolution", "32").exit_code == 0
    )


def test_the_name_of_a_photo_can_be_any_text(
    town: PaintedWorkspace, model: Artifact, photo: Path, tmp_path: Path
) -> None:
    """A formula of matplotlib that is not valid, markup, and a byte that is not UTF-8."""
    path = tmp_path / "$x^{$<script>\udcff.jpg"
    shutil.copyfile(photo, path)
    made = stages.heatmap(town.workspace, photo=path, model="seen", resolution=32)
    page = made.file("heatmap.html").read_text(encoding="utf-8")
    assert "$x^{$&lt;script&gt;\\udcff.jpg" in page and "{$<script>" not in page
    found = stages.knn(town.workspace, photo=path, model="seen", k=2, html=True, like=["node/5"])
    assert "{$<script>" not in found.file("neighbours.html").read_text(encoding="utf-8")


def test_models_without_photos_and_bad_files_are_refused(
    town: PaintedWorkspace, model: Artifact, photo: Path, tmp_path: Path
) -> None:
    damaged, small, text = tmp_path / "damaged.jpg", tmp_path / "small.png", tmp_path / "text.jpg"
    damaged.write_bytes(photo.read_bytes()[:900])
    Image.new("RGB", (20, 20)).save(small)
    text.write_text("no photo")
    wrong: list[tuple[dict[str, Any], type[GeojepaError], str]] = [
        ({"photo": photo, "model": "gair"}, UsageError, "was not trained with photos"),
        ({"photo": photo, "model": "tagpool"}, UsageError, "photos|expected a GAIR model"),
        ({"photo": tmp_path / "none.jpg"}, NotFoundError, "no such file"),
        ({"photo": tmp_path}, NotFoundError, "no such file"),
        ({"photo": damaged}, DataError, "cannot be decoded"),
        ({"photo": small}, DataError, "too small"),
        ({"photo": text}, DataError, "not a JPEG"),
    ]
    for function in (stages.knn, stages.heatmap):
        for given, error, match in wrong:
            with pytest.raises(error, match=match) as caught:
                function(town.workspace, **({"model": "seen"} | given))
            check_hint(str(caught.value.hint))
    with pytest.raises(UsageError, match="the place in its EXIF is not used"):
        stages.knn(town.workspace, photo=photo, model="seen", min_distance_km=1)
    with pytest.raises(UsageError, match="which only finds entities"):
        stages.knn(town.workspace, photo=photo, level="tile", model="seen")
    with pytest.raises(UsageError, match="vectors of tiles and of entities differ"):
        stages.knn(town.workspace, photo=photo, like="16_18048_25956", model="seen")
    with pytest.raises(UsageError, match="cannot be combined"):
        stages.heatmap(town.workspace, photo=photo, entity="node/1", model="seen")


def test_training_with_photos_needs_photos(town: PaintedWorkspace, tmp_path: Path) -> None:
    shutil.copytree(town.workspace.root, tmp_path / "workspace", ignore=shutil.ignore_patterns("models", "photos"))
    with pytest.raises(NotFoundError, match="there are no photos of `town`") as caught:
        stages.pretrain(type(town.workspace)(tmp_path / "workspace"), "gair.yaml", "town", {**SETTINGS, **PHOTOS})
    assert "--photos DIR" in str(caught.value.hint)
    check_hint(str(caught.value.hint))
