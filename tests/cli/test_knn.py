"""`geojepa knn` on small random regions, with TagPool: no training, no native binary."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import shapely.geometry
from PIL import Image
from synthetic_workspace import add_region
from typer.testing import CliRunner, Result

from geojepa_cli import stages
from geojepa_cli.app import app
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.grid import TileId
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.image_form import ImageForm
from geojepa_cli.store.images import put_images
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.workspace.workspace import Workspace


def invoke(workspace: Workspace, *arguments: object) -> Result:
    """Runs `geojepa knn` in this process."""
    return CliRunner().invoke(app, ["--workspace", str(workspace.root), "knn", *map(str, arguments)])


def answer(workspace: Workspace, *arguments: object) -> dict[str, Any]:
    """Runs `geojepa knn --json` to a success and returns its result."""
    done = invoke(workspace, *arguments, "--json")
    assert done.exception is None, done.exception
    shown = json.loads(done.stdout)
    assert (shown["schema"], shown["command"]) == (1, "knn")
    return dict(shown["result"])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two regions, one with images."""
    made = Workspace(tmp_path_factory.mktemp("knn") / "workspace")
    add_region(made, "alpha", 0, 160, with_images=True)
    add_region(made, "beta", 1, 60, corner=(18100, 25956))
    return made


@pytest.fixture(scope="module")
def vectors(workspace: Workspace) -> Embeddings:
    """The vectors of the region `alpha`."""
    (made,) = stages.embed(workspace, "tagpool", "alpha")
    return Embeddings(made.file("embeddings.h5"))


def tiles_of(region: RegionStore) -> list[TileId]:
    return [TileId(*zxy) for zxy in np.stack([region[f"tile/{axis}"] for axis in "zxy"], 1).tolist()]


def some_tile(workspace: Workspace, region: str) -> str:
    """A tile that has a vector."""
    (made,) = stages.embed(workspace, "tagpool", region)
    return Embeddings(made.file("embeddings.h5")).tile_name(0)


def test_the_neighbours_of_a_tile_come_in_order_with_geojson_and_page(
    workspace: Workspace, vectors: Embeddings
) -> None:
    name = vectors.tile_name(4)
    result = answer(workspace, "--tile", name, "--k", 5, "--html", "--space", "raw")
    neighbours = result["neighbours"]
    assert [found["rank"] for found in neighbours] == [1, 2, 3, 4, 5]
    cosines = [found["score"] for found in neighbours]
    assert cosines == sorted(cosines, reverse=True)
    assert name not in {found["tile"] for found in neighbours}
    own = vectors["tile/vector"][4].astype(np.float64)
    others = vectors["tile/vector"].astype(np.float64)
    scores = others @ own / np.linalg.norm(others, axis=1) / np.linalg.norm(own)
    scores[4] = -2
    in_alpha = [found["score"] for found in neighbours if found["region"] == "alpha"]
    np.testing.assert_allclose(in_alpha, np.sort(scores)[::-1][: len(in_alpha)], atol=1e-5)
    collection = json.loads(Path(result["files"]["geojson"]).read_text())
    assert [feature["id"] for feature in collection["features"]] == [name, *(found["tile"] for found in neighbours)]
    assert all(shapely.geometry.shape(feature["geometry"]).is_valid for feature in collection["features"])
    page = Path(result["files"]["page"]).read_text(encoding="utf-8")
    assert page.count('class="map"') == 6
    assert "data:image/webp;base64," in page


def test_the_neighbours_of_an_entity_are_other_entities_with_their_records(
    workspace: Workspace, vectors: Embeddings
) -> None:
    ref = vectors.entity_ref(10)
    assert ref in invoke(workspace, "--entity", ref, "--k", 3, "--region", "alpha").stdout
    result = answer(workspace, "--entity", ref, "--k", 3, "--region", "alpha")
    found = [neighbour["entity"] for neighbour in result["neighbours"]]
    assert len(set(found)) == 3
    assert ref not in found
    with h5py.File(workspace.find("processed", "alpha").file("processed.h5")) as file:
        ids, types, versions = (file[f"object/{name}"][...] for name in ("osm_id", "osm_type", "version"))
    known = {(int(kind), int(osm_id)): int(v) for kind, osm_id, v in zip(types, ids, versions, strict=True)}
    collection = json.loads(Path(result["files"]["geojson"]).read_text())
    for neighbour, feature in zip([result["query"], *result["neighbours"]], collection["features"], strict=True):
        kind, number = neighbour["entity"].split("/")
        version = known[["node", "way", "relation"].index(kind), int(number)] or None
        assert neighbour["osm_version"] == version
        assert neighbour["record_id"] == (version and f"{kind[0]}{number}@{version}")
        assert feature["properties"]["record_id"] == neighbour["record_id"]
        assert neighbour["url"] == f"https://www.openstreetmap.org/{neighbour['entity']}"
    assert any(neighbour["record_id"] for neighbour in result["neighbours"])


def test_a_wrong_query_names_what_is_near_and_publishes_nothing(workspace: Workspace) -> None:
    before = workspace.names("neighbours")
    for arguments, kind, message in (
        (("--tile", "16_1_1"), NotFoundError, "the nearest tile is"),
        (("--entity", "way/1"), NotFoundError, "the nearest id is"),
        (("--tile", "16_1_1", "--entity", "way/1"), UsageError, "cannot be combined with"),
        ((), UsageError, "is required"),
        (("--tile", "16_18052"), UsageError, "expected `zoom_x_y`"),
        (("--entity", "street/1"), UsageError, "expected node/ID"),
    ):
        error = invoke(workspace, *arguments).exception
        assert isinstance(error, kind) and message in error.message
        assert str(error.hint).startswith(f"geojepa --workspace {workspace.root} knn --")
    assert workspace.names("neighbours") == before


@pytest.mark.parametrize(
    "query", [("--entity", "way/1"), ("--tile", "16_1_1"), ("--tile", "15_9024_12978")], ids=["entity", "tile", "zoom"]
)
def test_an_unknown_query_is_refused_before_anything_is_embedded(crowded: Workspace, query: tuple[str, str]) -> None:
    assert isinstance(invoke(crowded, *query).exception, NotFoundError)
    assert crowded.artifacts("embeddings") == []


def test_the_hint_of_limits_that_leave_out_the_query_widens_them(crowded: Workspace) -> None:
    store = RegionStore(crowded.find("processed", "town").file("processed.h5"))
    query = tiles_of(store)[int(np.argmax(np.diff(store["tile/pieces"].astype(int))))].name
    error = invoke(crowded, "--tile", query, "--min-entities", 2, "--max-entities", 2).exception
    assert isinstance(error, DataError | NotFoundError)
    match = re.search(r"--max-entities (\d+)", str(error.hint))
    assert match is not None
    assert invoke(crowded, "--tile", query, "--max-entities", match[1]).exit_code == 0
    assert not list(crowded.root.glob("*/*.partial"))


def test_a_tile_of_another_zoom_gets_those_at_the_same_place(workspace: Workspace, vectors: Embeddings) -> None:
    name = vectors.tile_name(4)
    x, y = (int(part) for part in name.split("_")[1:])
    siblings = {f"16_{2 * (x // 2) + i}_{2 * (y // 2) + j}" for i in (0, 1) for j in (0, 1)}
    there = siblings & {vectors.tile_name(row) for row in range(vectors.n_tiles)}

    def refused(tile: str) -> str:
        error = invoke(workspace, "--tile", tile, "--region", "alpha").exception
        assert isinstance(error, NotFoundError)
        return error.message

    message = refused(f"15_{x // 2}_{y // 2}")
    assert "has zoom 15, but tiles of `alpha` have zoom 16" in message
    assert {word.strip("`,;") for word in message.split() if word.startswith("`16_")} == there
    assert f"at the same place: `{name}`" in refused(f"18_{4 * x + 3}_{4 * y}")
    assert "there are no tiles at this place" in refused("15_1_1")


def test_neighbours_credit_those_named_in_the_manifests_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    with workspace.build("source", "r", {"seed": 0}) as build:  # which `add_region` uses
        build.publish(attribution=["an invented town"])
    town = add_region(workspace, "r", 0, 40)
    done = invoke(workspace, "--tile", some_tile(workspace, "r"), "--html")
    assert "an invented town" in done.stdout and "contributors" not in done.stdout
    (made,) = workspace.artifacts("neighbours")
    assert made.attribution == town.attribution == ["an invented town"]
    footer = made.file("neighbours.html").read_text(encoding="utf-8").partition("<footer>")[2]
    assert "an invented town" in footer and "OpenStreetMap" not in footer


@pytest.mark.parametrize(("form", "shown_px"), [(ImageForm(256, "rgbn"), 256), (ImageForm(1024, "rgb", "webp"), 512)])
def test_the_page_shows_red_green_and_blue_of_images_of_any_form(
    tmp_path: Path, form: ImageForm, shown_px: int
) -> None:
    """Images are no larger than they are shown; each tile has another colour."""
    workspace = Workspace(tmp_path / "workspace")
    processed = add_region(workspace, "r", 0, 40)
    tiles = tiles_of(RegionStore(processed.file("processed.h5"), "r"))
    colours = np.random.default_rng(0).integers(0, 256, (len(tiles), form.shape[0]), np.uint8)
    params = {"zoom": 16, **form.params}
    with workspace.build("images", "r", params, [workspace.find("source", "r")]) as build:
        with h5py.File(build.partial / "images.h5", "w", alignment_threshold=1, alignment_interval=64) as file:
            put_images(file, tiles, form, (np.broadcast_to(c[:, None, None], form.shape) for c in colours))
        build.publish()
    name = some_tile(workspace, "r")
    result = answer(workspace, "--tile", name, "--k", 3, "--html")
    page = Path(result["files"]["page"]).read_text(encoding="utf-8")
    found = re.findall(r"data:image/webp;base64,([^\"]*)", page)
    wanted = [name, *(neighbour["tile"] for neighbour in result["neighbours"])]
    for data, tile in zip(found, wanted, strict=True):
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert image.size == (shown_px, shown_px) and image.mode == "RGB"
        expected = colours[[one.name for one in tiles].index(tile), :3].astype(int)
        assert np.abs(np.asarray(image).mean((0, 1)) - expected).max() < 8


@pytest.mark.parametrize(
    ("column", "place", "value", "message"),
    [
        ("tile/vector", (3, 1), np.nan, "not finite"),
        ("tile/vector", (0, 0), np.inf, "not finite"),
        ("tile/row", 2, 4_000_000, "rows that do not exist"),
        ("tile/x", 2, 7, "values that differ"),
        ("entity/piece", 5, 2**40, "rows that do not exist"),
        ("entity/tile", 5, 3_000_000, "do not match"),
        ("entity/cu_seqlens", 3, 0, "do not match"),
    ],
)
def test_damaged_embeddings_are_refused_and_the_hint_rebuilds_them(
    crowded: Workspace, column: str, place: Any, value: float, message: str
) -> None:
    name = some_tile(crowded, "town")
    (made,) = crowded.artifacts("embeddings")
    with h5py.File(made.file("embeddings.h5"), "r+") as file:
        file[column][place] = value
    error = invoke(crowded, "--tile", name, "--model", "tagpool").exception
    assert isinstance(error, DataError) and message in error.message
    remove, _, embed = str(error.hint).partition(" && ")
    assert remove == f"rm -r {made.path}"
    assert embed == f"geojepa --workspace {crowded.root} embed --model tagpool --region town"
    assert crowded.artifacts("neighbours") == []


def test_from_python_neighbours_are_an_artifact_and_hints_are_commands(
    workspace: Workspace, vectors: Embeddings
) -> None:
    processed = workspace.find("processed", "alpha")
    made = stages.knn(workspace, vectors.tile_name(4), k=2, model="tagpool", region=processed)
    assert len(made.read_json("neighbours.json")["neighbours"]) == 2
    with pytest.raises(NotFoundError) as caught:
        stages.knn(workspace, "16_1_1", k=2, model="tagpool", region=processed)
    hint = str(caught.value.hint)
    assert hint.startswith(f"geojepa --workspace {workspace.root} knn --tile 16_")
    assert hint.endswith(" --k 2 --model tagpool --region alpha")
