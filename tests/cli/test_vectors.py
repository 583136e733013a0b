"""`embed`, `probe`, `knn` and `report` on a small random workspace, with TagPool: no training, no native binary."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import shapely.geometry
from synthetic_workspace import add_region
from typer.testing import CliRunner

from geojepa_cli.app import app
from geojepa_cli.commands.build_tasks import build_region, find_specs
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.search.mapdata import read_tags
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.workspace import Workspace

Run = Callable[..., str]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two regions, one with images; the first with the tasks `bridge` and `building_count`."""
    made = Workspace(tmp_path_factory.mktemp("vectors") / "workspace")
    first = add_region(made, "alpha", 0, 160, with_images=True)
    add_region(made, "beta", 1, 60, corner=(18100, 25956))
    build_region(made, first, find_specs(["max_speed", "building_count"]))
    return made


@pytest.fixture(scope="module")
def run(workspace: Workspace) -> Run:
    """Runs a command to its end and returns stdout; an error is raised as it is."""

    def invoke(*arguments: object) -> str:
        done = CliRunner().invoke(app, ["--workspace", str(workspace.root), *map(str, arguments)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return invoke


def _json(text: str) -> dict[str, Any]:
    answer = json.loads(text)
    assert set(answer) == {"schema", "command", "artifact", "result"}
    return dict(answer)


@pytest.fixture(scope="module")
def vectors(workspace: Workspace, run: Run) -> Embeddings:
    ref = _json(run("embed", "--region", "alpha", "--model", "tagpool", "--json"))["artifact"]
    return Embeddings(workspace.find("embeddings", ref).file("embeddings.h5"))


def test_tagpool_entities_are_the_mean_of_their_tags_and_tiles_max_and_mean(
    workspace: Workspace, vectors: Embeddings
) -> None:
    region = workspace.find("processed", "alpha")
    with h5py.File(region.file("processed.h5")) as file:
        objects, offsets, vocab = (file[name][...] for name in ("piece/object", "object/tags", "tag/vocab"))
    features = workspace.derived("features", "alpha", region).file("tags.h5")
    with h5py.File(features) as file:
        table = file["embedding"][...]
    for row in range(0, vectors.n_tiles, 13):
        first, last = vectors["entity/cu_seqlens"][row : row + 2].astype(int)
        entities = []
        for piece in vectors["entity/piece"][first:last].astype(int):
            begin, end = offsets[objects[piece]], offsets[objects[piece] + 1]
            entities.append(table[vocab[begin:end]].mean(0))
        expected = np.concatenate([np.max(entities, 0), np.mean(entities, 0)])
        np.testing.assert_allclose(vectors["tile/vector"][row], expected, atol=1e-5)
        np.testing.assert_allclose(vectors["entity/vector"][first:last], entities, atol=1e-3)


def test_embedding_again_finds_the_same_artifact(workspace: Workspace, run: Run, vectors: Embeddings) -> None:
    before = vectors.path.stat().st_mtime_ns
    again = _json(run("embed", "--region", "alpha", "--model", "tagpool", "--json"))
    assert workspace.find("embeddings", again["artifact"]).file("embeddings.h5") == vectors.path
    assert vectors.path.stat().st_mtime_ns == before


def test_a_masked_embedding_stands_beside_the_plain_one_and_hides_what_it_should(
    workspace: Workspace, run: Run
) -> None:
    command = ("embed", "--region", "alpha", "--model", "tagpool", "--task", "building_count", "--json")
    refs = [_json(run(*command, *flag))["artifact"] for flag in ((), ("--masked",))]
    assert refs[0] != refs[1]
    plain, masked = (Embeddings(workspace.find("embeddings", ref).file("embeddings.h5")) for ref in refs)
    np.testing.assert_array_equal(plain["tile/row"], masked["tile/row"])
    region = RegionStore(workspace.find("processed", "alpha").file("processed.h5"))
    buildings = [
        {
            "building" in read_tags(region, int(region["piece/object"][piece]))
            for piece in vectors["entity/piece"].astype(int)
        }
        for vectors in (plain, masked)
    ]
    assert buildings == [{True, False}, {False}]


def test_probe_prints_dummy_and_tagpool_and_says_what_its_figures_stand_on(workspace: Workspace, run: Run) -> None:
    answer = _json(run("probe", "--task", "max_speed", "--region", "alpha", "--masked", "--head", "linear", "--json"))
    report = answer["result"]
    assert [(f["model"], f["head"]) for f in report["figures"]] == [("dummy", "median"), ("tagpool", "linear")]
    assert report["protocol"] == "cross-validation"
    assert f"{report['groups']} zoom-14 groups" in report["stands_on"]
    assert report["strongest"]["alpha"]["tags"]
    artifact = workspace.find("probes", answer["artifact"])
    with artifact.file("predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [row for row in rows if row["kept"] == "1"]
    errors = [abs(float(row["tagpool_linear"]) - float(row["label"])) for row in kept]
    assert np.mean(errors) == pytest.approx(report["figures"][1]["mae"]["value"], rel=1e-4)
    assert len(kept) == report["tiles"]
    assert artifact.file("plot.png").read_bytes().startswith(b"\x89PNG")
    text = run("probe", "--task", "max_speed", "--region", "alpha", "--masked", "--head", "linear")
    assert "tagpool" in text
    assert "dummy" in text
    assert "strongest single tag" in text


def test_report_holds_every_probe(run: Run, tmp_path: Path) -> None:
    for task in ("max_speed", "building_count"):
        run("probe", "--task", task, "--region", "alpha", "--masked", "--head", "linear")
    tables = _json(run("report", "--out", tmp_path, "--json"))["result"]
    masked = next(table for table in tables if table["masked"])
    by_model = {entry["model"]: entry for entry in masked["models"]}
    assert set(by_model["tagpool (linear)"]["mae"]) == {"max_speed", "building_count"}
    assert by_model["dummy (median)"]["score"] == pytest.approx(1.0)
    assert "| tagpool (linear) |" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert (tmp_path / "report-1.png").is_file()


def test_knn_of_a_tile_answers_in_order_with_geojson_and_page(
    workspace: Workspace, run: Run, vectors: Embeddings
) -> None:
    name = vectors.tile_name(4)
    answer = _json(run("knn", "--tile", name, "--k", 5, "--html", "--json"))
    neighbours = answer["result"]["neighbours"]
    assert [place["rank"] for place in neighbours] == [1, 2, 3, 4, 5]
    cosines = [place["cosine"] for place in neighbours]
    assert cosines == sorted(cosines, reverse=True)
    assert name not in {place["tile"] for place in neighbours}
    own = vectors["tile/vector"][4].astype(np.float64)
    others = vectors["tile/vector"].astype(np.float64)
    scores = others @ own / np.linalg.norm(others, axis=1) / np.linalg.norm(own)
    scores[4] = -2
    in_alpha = [place["cosine"] for place in neighbours if place["region"] == "alpha"]
    np.testing.assert_allclose(in_alpha, np.sort(scores)[::-1][: len(in_alpha)], atol=1e-5)
    collection = json.loads(Path(answer["result"]["files"]["geojson"]).read_text())
    assert [feature["id"] for feature in collection["features"]] == [name, *(place["tile"] for place in neighbours)]
    assert all(shapely.geometry.shape(feature["geometry"]).is_valid for feature in collection["features"])
    page = Path(answer["result"]["files"]["page"]).read_text(encoding="utf-8")
    assert page.count('class="map"') == 6
    assert "data:image/webp;base64," in page


def test_knn_of_an_entity_gives_other_entities(run: Run, vectors: Embeddings) -> None:
    ref = vectors.entity_ref(10)
    text = run("knn", "--entity", ref, "--k", 3, "--region", "alpha")
    assert ref in text
    result = _json(run("knn", "--entity", ref, "--k", 3, "--region", "alpha", "--json"))["result"]
    found = [place["entity"] for place in result["neighbours"]]
    assert len(set(found)) == 3
    assert ref not in found
    assert all(place["url"] == f"https://www.openstreetmap.org/{place['entity']}" for place in result["neighbours"])


def test_a_wrong_query_says_what_is_near_and_publishes_nothing(workspace: Workspace, run: Run) -> None:
    before = workspace.names("neighbours")
    with pytest.raises(NotFoundError, match="the nearest is"):
        run("knn", "--tile", "16_1_1")
    with pytest.raises(NotFoundError, match="the nearest id is"):
        run("knn", "--entity", "way/1")
    with pytest.raises(UsageError, match="either"):
        run("knn", "--tile", "16_1_1", "--entity", "way/1")
    assert workspace.names("neighbours") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("probe", "--task", "max_sped", "--region", "alpha"), "did you mean `max_speed`"),
        (("probe", "--task", "max_speed", "--region", "alpa"), "did you mean `alpha`"),
        (("probe", "--task", "max_speed", "--region", "alpha", "--model", "tagpol"), "did you mean `tagpool`"),
        (("probe", "--task", "max_speed", "--region", "alpha", "--head", "cubic"), "unknown head"),
        (("embed", "--region", "alpha", "--masked"), "needs one"),
        (("embed", "--region", "alpha", "--model", "tagpool", "--device", "tpu"), "unknown device"),
    ],
)
def test_a_wrong_name_says_the_nearest(run: Run, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(*arguments)
    assert message in caught.value.message + (caught.value.hint or "")


def test_a_task_that_was_not_built_names_the_command_that_builds_it(run: Run) -> None:
    with pytest.raises(NotFoundError) as caught:
        run("probe", "--task", "bridge", "--region", "alpha")
    assert "geojepa build-tasks --region alpha" in (caught.value.hint or "")
