"""`geojepa heatmap` with a small GAIR model: values, files, and clear errors."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import torch
from commandline import invoke
from hint_commands import check_hint, split_hint
from painted_store import PER_TILE
from painted_workspace import IMAGES, PaintedWorkspace, painted_workspace

from geojepa_cli import stages
from geojepa_cli.errors import DataError, GeojepaError, NotFoundError, UsageError
from geojepa_cli.models.base import FrozenInputs, TagList
from geojepa_cli.models.gair.embedder import GairEmbedder, load
from geojepa_cli.store.features import open_features
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.workspace.artifact import Artifact

FILES = ("heatmap.tif", "heatmap.png", "heatmap.html", "heatmap.json")
TO_DEGREES = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
SIDE = 32  # points along a side of a tile, with a resolution of 20 m


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> PaintedWorkspace:
    return painted_workspace(tmp_path_factory.mktemp("painted"))


def heatmap(town: PaintedWorkspace, **given: Any) -> Artifact:
    return stages.heatmap(town.workspace, **({"resolution": 20} | given))


def opened(town: PaintedWorkspace) -> tuple[GairEmbedder, TileStore]:
    """The model with the tags of the region, and the region."""
    processed, features = (town.workspace.find(kind, "town") for kind in ("processed", "features"))
    images = town.workspace.find("images", "town")
    store = TileStore.open([processed.file("processed.h5")], [images.file("images.h5")], ["town"])
    table = open_features([features.file("tags.h5")], store).table
    return load(town.model.path, FrozenInputs(table, tags=TagList(store.keys, store.values))), store


def ground_vector(town: PaintedWorkspace, entity: int) -> np.ndarray:
    """The vector of what the tags of an entity say."""
    embedder, store = opened(town)
    batch = store.read(View.default(store, 1, None), [entity // PER_TILE])
    with torch.no_grad():
        return embedder.describe(batch)[batch.osm_id.tolist().index(entity + 1)].double().numpy()


def local_vectors(town: PaintedWorkspace, entity: int) -> np.ndarray:
    embedder, store = opened(town)
    batch = store.read(View.default(store, 1, None), [entity // PER_TILE], embedder.needs)
    with torch.no_grad():
        return embedder.encode(batch).entities[batch.osm_id.tolist().index(entity + 1)].double().numpy()


def samples(made: Artifact, count: int = 12) -> list[tuple[float, float, float]]:
    """Longitude, latitude and value of random pixels with data."""
    with rasterio.open(made.file("heatmap.tif")) as file:
        values = file.read(1)
        rows, columns = np.nonzero(np.isfinite(values))
        chosen = np.random.default_rng(0).choice(len(rows), count, replace=False)
        return [
            (*TO_DEGREES.transform(*file.xy(rows[n], columns[n])), float(values[rows[n], columns[n]])) for n in chosen
        ]


def in_image(town: PaintedWorkspace, lon: float, lat: float) -> np.ndarray:
    """The vector that is read at a place, one point at a time, with pyproj's place in the image."""
    embedder, _ = opened(town)
    store = ImageStore(town.workspace.find("images", "town").file("images.h5"))
    x, y = TO_DEGREES.transform(lon, lat, direction="INVERSE")
    world = 2 * 20037508.342789244
    column, row = (x / world + 0.5) * 2**16, (0.5 - y / world) * 2**16
    index = int(store.rows_of([16], [int(column)], [int(row)])[0])
    with torch.no_grad():
        features = embedder.feature_maps(torch.from_numpy(np.array(store.image[[index]])))
        uv = torch.tensor([[column % 1, row % 1]]).float()
        return embedder.at_points(features, uv, torch.zeros(1, dtype=torch.int64))[0].double().numpy()


def test_values_are_cosines_of_the_tags_of_an_element_and_points_in_images(town: PaintedWorkspace) -> None:
    entity = 8
    made = heatmap(town, entity=f"node/{entity + 1}")
    query = ground_vector(town, entity)
    for lon, lat, value in samples(made):
        assert value == pytest.approx(float(query @ in_image(town, lon, lat)), abs=2e-5)
    content = made.read_json("heatmap.json")
    assert content["query"]["read_from"] == "tags" and content["query"]["tags"]
    assert content["tiles"] == IMAGES == made.counts["tiles"]
    np.testing.assert_allclose([content["query"][k] for k in ("lon", "lat")], town.painted.lonlat[entity], atol=1e-6)
    with rasterio.open(made.file("heatmap.tif")) as file:
        values = file.read(1)
        assert file.crs.to_epsg() == 3857 and np.isfinite(values).sum() == IMAGES * SIDE**2
    shown = values[np.isfinite(values)].astype(float)
    assert content["mean"] == pytest.approx(shown.mean(), abs=1e-5) and content["max"] == pytest.approx(shown.max())
    scores = [one["score"] for one in content["peaks"]]
    assert scores == sorted(scores, reverse=True) and scores[0] == pytest.approx(shown.max())


def test_the_image_at_an_element_and_a_place_can_be_the_query(town: PaintedWorkspace) -> None:
    entity = 15
    by_image = heatmap(town, entity=f"node/{entity + 1}", view="image")
    query = local_vectors(town, entity)
    for lon, lat, value in samples(by_image, 4):
        assert value == pytest.approx(float(query @ in_image(town, lon, lat)), abs=2e-5)
    lon, lat = town.painted.lonlat[entity].tolist()
    at = heatmap(town, at=f"{lon:.9f},{lat:.9f}")
    title = f"{float(f'{lon:.9f}')},{float(f'{lat:.9f}')}"  # the whole place: four decimals are 10 m
    assert title in at.file("heatmap.html").read_text(encoding="utf-8")
    query = in_image(town, lon, lat)
    for other_lon, other_lat, value in samples(at, 4):
        assert value == pytest.approx(float(query @ in_image(town, other_lon, other_lat)), abs=2e-5)
    assert [one.read_json("heatmap.json")["query"]["read_from"] for one in (by_image, at)] == ["image", "image"]


def test_locations_cover_all_tiles_and_need_no_image(town: PaintedWorkspace) -> None:
    lon, lat = town.painted.lonlat[(IMAGES + 3) * PER_TILE].tolist()
    made = heatmap(town, at=f"{lon:.9f},{lat:.9f}", by="place", resolution=None)
    content = made.read_json("heatmap.json")
    assert content["tiles"] == 64 and content["query"]["read_from"] == "location"
    assert content["width"] == content["height"] == 8 * 16
    embedder, _ = opened(town)
    with torch.no_grad():
        query = embedder.at_places(torch.tensor([[lon, lat]], dtype=torch.float64))[0].double()
        for x, y, value in samples(made):
            other = embedder.at_places(torch.tensor([[x, y]], dtype=torch.float64))[0].double()
            assert value == pytest.approx(float(query @ other), abs=2e-5)


def test_the_resolution_is_a_maximum_and_the_default_depends_on_the_cells(town: PaintedWorkspace) -> None:
    finer = heatmap(town, entity="node/2", resolution=10).read_json("heatmap.json")
    assert finer["resolution_m"] <= 10 < finer["resolution_m"] * 64 / 48
    default = heatmap(town, entity="node/2", resolution=None).read_json("heatmap.json")
    assert default["width"] == 8 * 64  # of each of eight tiles: 8 points for each of 7 cells, rounded up to 64


def test_the_result_does_not_depend_on_threads_and_the_rebuild_command_makes_the_same_files(
    town: PaintedWorkspace,
) -> None:
    options = {"entity": "node/9", "view": "image", "by": "place", "resolution": 25.5, "model": "gair"}
    made = heatmap(town, **options)
    before = {name: made.file(name).read_bytes() for name in FILES}
    hint = str(made.rebuild_hint())
    check_hint(hint)
    shutil.rmtree(made.path)
    again = heatmap(town, **options, threads=2)
    assert again.ref == made.ref and {name: again.file(name).read_bytes() for name in FILES} == before
    shutil.rmtree(made.path)
    (words,) = split_hint(hint)
    done = invoke(town.workspace, *words[3:])
    assert done.exit_code == 0 and {name: made.file(name).read_bytes() for name in FILES} == before


def test_every_parameter_is_part_of_the_id(town: PaintedWorkspace) -> None:
    lon, lat = town.painted.lonlat[0].tolist()
    changes: list[dict[str, Any]] = [
        *({"entity": "node/1"}, {"entity": "node/3"}, {"entity": "node/1", "view": "image"}),
        *({"entity": "node/1", "resolution": 31}, {"entity": "node/1", "by": "place"}, {"at": f"{lon},{lat}"}),
    ]
    made = [heatmap(town, **one).ref for one in changes]
    assert len(set(made)) == len(made)
    assert heatmap(town, entity="node/1", view="ground", from_region="town", region="town").ref == made[0]


def test_the_command_prints_points_and_files(town: PaintedWorkspace) -> None:
    given = ("heatmap", "--entity", "node/9", "--resolution", "20")
    shown = invoke(town.workspace, *given)
    assert shown.exit_code == 0
    text = " ".join(shown.output.split())
    assert "the vector of node/9 is that of its tags" in text and "GeoTIFF:" in text and "HTML page:" in text
    answer = json.loads(invoke(town.workspace, *given, "--json").stdout)
    assert set(answer["result"]["files"]) == {"geotiff", "png", "page"} and len(answer["result"]["peaks"]) == 10
    page = heatmap(town, entity="node/9").file("heatmap.html").read_text(encoding="utf-8")
    assert page.count("<circle") == 11 and 'src="http' not in page and "OpenStreetMap contributors" in page


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({}, UsageError, "`--entity`, `--at` or `--photo` is required"),
        ({"entity": "node/1", "at": "1,2"}, UsageError, "cannot be combined"),
        ({"entity": "building"}, UsageError, "is not an entity"),
        ({"entity": "node/99999"}, NotFoundError, "node/99999"),
        ({"at": "north"}, UsageError, "expected LON,LAT"),
        ({"at": "10,50"}, NotFoundError, "outside the regions"),
        ({"at": "-80.85,35.01", "view": "image"}, UsageError, "`--view` needs `--entity`"),
        ({"entity": "node/1", "view": "top"}, UsageError, "unknown view"),
        ({"entity": "node/1", "by": "road"}, UsageError, "expected image or place"),
        ({"entity": "node/1", "resolution": 0}, UsageError, "above 0"),
        ({"entity": "node/1", "resolution": float("nan")}, UsageError, "above 0"),
        ({"entity": "node/1", "resolution": 0.01}, UsageError, "no closer than"),
        ({"entity": "node/1", "model": "tagpool"}, UsageError, "expected a GAIR model"),
        ({"entity": "node/1", "region": "nowhere"}, NotFoundError, "nowhere"),
        ({"entity": f"node/{IMAGES * PER_TILE + 1}", "view": "image"}, DataError, "has no image"),
        ({"entity": "node/1", "device": "tpu"}, UsageError, "unknown device"),
    ],
)
def test_wrong_arguments_are_refused_with_a_command_and_publish_nothing(
    town: PaintedWorkspace, given: dict[str, Any], error: type[GeojepaError], match: str
) -> None:
    with pytest.raises(error, match=match) as caught:
        heatmap(town, **given)
    check_hint(str(caught.value.hint))
    assert not [one for one in town.workspace.root.glob("heatmaps/*.partial") if any(one.iterdir())]


def test_a_workspace_without_a_gair_model_says_how_to_train_one(town: PaintedWorkspace, tmp_path: Any) -> None:
    shutil.copytree(town.workspace.root, tmp_path / "workspace", ignore=shutil.ignore_patterns("models", "heatmaps"))
    done = invoke(type(town.workspace)(tmp_path / "workspace"), "heatmap", "--entity", "node/1")
    assert isinstance(done.exception, NotFoundError) and "--config gair.yaml" in str(done.exception.hint)
