"""`geojepa knn` with combined queries, search spaces, other regions, distances, and formats of output."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Geod
from synthetic_workspace import add_region
from typer.testing import CliRunner, Result

from geojepa_cli import stages
from geojepa_cli.app import app
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.workspace.workspace import Workspace


def invoke(workspace: Workspace, *arguments: object) -> Result:
    return CliRunner().invoke(
        app, ["--workspace", str(workspace.root), "knn", "--model", "tagpool", *map(str, arguments)]
    )


def answer(workspace: Workspace, *arguments: object) -> dict[str, Any]:
    done = invoke(workspace, *arguments, "--json")
    assert done.exception is None, done.exception
    return dict(json.loads(done.stdout)["result"])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("knn") / "workspace")
    add_region(made, "alpha", 0, 160)
    add_region(made, "beta", 1, 60, corner=(18100, 25956))
    return made


def vectors_of(workspace: Workspace, region: str) -> Embeddings:
    (made,) = stages.embed(workspace, "tagpool", region)
    return Embeddings(made.file("embeddings.h5"))


@pytest.fixture(scope="module")
def alpha(workspace: Workspace) -> Embeddings:
    return vectors_of(workspace, "alpha")


@pytest.fixture(scope="module")
def beta(workspace: Workspace) -> Embeddings:
    return vectors_of(workspace, "beta")


def centred(vectors: Embeddings, column: str = "tile/vector") -> np.ndarray:
    """Unit vectors after the mean is removed, by plain NumPy."""
    rows = vectors[column].astype(np.float64)
    rows = rows - rows.mean(0)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_examples_are_combined_by_the_formula_of_rocchio(workspace: Workspace, alpha: Embeddings) -> None:
    names = [alpha.tile_name(row) for row in range(4)]
    result = answer(
        workspace, "--tile", names[0], "--like", names[1], "--unlike", names[2], "--unlike", names[3],
        "--weight", 2, "--weight", 1, "--weight", 1, "--weight", 3, "--region", "alpha", "--k", 6, "--space", "centred",
    )  # fmt: skip
    units = centred(alpha)
    query = (2 * units[0] + units[1]) / 3 - 0.5 / 2 * (units[2] + 3 * units[3])
    scores = units @ query / np.linalg.norm(query)
    scores[:4] = -9  # examples are not among the results
    order = np.argsort(-scores, kind="stable")[:6]
    assert [found["tile"] for found in result["neighbours"]] == [alpha.tile_name(row) for row in order]
    np.testing.assert_allclose([found["score"] for found in result["neighbours"]], scores[order], atol=2e-6)
    shown = [(part["tile"], part["weight"], part["unlike"]) for part in result["parts"]]
    assert shown == [(names[0], 2, False), (names[1], 1, False), (names[2], 1, True), (names[3], 3, True)]
    assert [part["result"]["tile"] for part in result["parts"]] == names and result["query"]["tile"] == names[0]


@pytest.mark.parametrize("space", ["raw", "centred", "balanced", "whitened"])
def test_places_among_all_count_results_that_were_left_out(workspace: Workspace, alpha: Embeddings, space: str) -> None:
    name = alpha.tile_name(4)
    every = answer(workspace, "--tile", name, "--region", "alpha", "--k", 1000, "--space", space)
    places = {found["tile"]: found["place"] for found in every["neighbours"]}
    assert every["space"] == space and every["searched"] == alpha.n_tiles
    scores = [found["score"] for found in every["neighbours"]]
    for found in every["neighbours"]:
        above = sum(score > found["score"] + 1e-6 for score in scores)
        assert above < found["place"] <= sum(score >= found["score"] - 1e-6 for score in scores)
        assert found["top_percent"] == pytest.approx(100 * found["place"] / alpha.n_tiles, rel=0.1)
        assert found["top_percent"] >= 100 * found["place"] / alpha.n_tiles - 1e-9
    far = answer(workspace, "--tile", name, "--region", "alpha", "--k", 5, "--space", space, "--exclude-same-group")
    assert [found["place"] for found in far["neighbours"]] == [places[found["tile"]] for found in far["neighbours"]]
    assert [found["rank"] for found in far["neighbours"]] == [1, 2, 3, 4, 5]


def test_a_query_from_another_region_is_embedded_and_never_a_result(
    workspace: Workspace, alpha: Embeddings, beta: Embeddings
) -> None:
    name = beta.tile_name(3)
    query_from = ("--tile", name, "--region", "alpha", "--from-region", "beta", "--space", "centred")
    result = answer(workspace, *query_from, "--k", 4)
    rows = alpha["tile/vector"].astype(np.float64)
    mean = rows.mean(0)  # of the searched region alone
    query = beta["tile/vector"][3].astype(np.float64) - mean
    scores = (rows - mean) @ query / np.linalg.norm(rows - mean, axis=1) / np.linalg.norm(query)
    order = np.argsort(-scores, kind="stable")[:4]
    assert [found["tile"] for found in result["neighbours"]] == [alpha.tile_name(row) for row in order]
    assert {found["region"] for found in result["neighbours"]} == {"alpha"}
    assert result["query"]["region"] == "beta" and [one.split("@")[0] for one in result["regions"]] == ["alpha"]
    error = invoke(workspace, "--tile", name, "--region", "alpha").exception
    assert isinstance(error, NotFoundError)
    (made,) = [one for one in workspace.artifacts("neighbours") if "from_regions" in one.params]
    rebuilt = str(made.rebuild_hint())
    assert "--region alpha" in rebuilt and "--from-region beta" in rebuilt and f"--tile {name}" in rebuilt


def test_results_keep_the_minimum_distance_to_every_example(workspace: Workspace, alpha: Embeddings) -> None:
    names = [alpha.tile_name(0), alpha.tile_name(90)]
    result = answer(
        workspace, "--like", names[0], "--like", names[1], "--region", "alpha", "--k", 1000, "--min-distance-km", 1.5
    )
    everything = answer(workspace, "--like", names[0], "--like", names[1], "--region", "alpha", "--k", 1000)
    geod = Geod(ellps="WGS84")
    examples = [(part["result"]["lon"], part["result"]["lat"]) for part in result["parts"]]

    def nearest_km(found: dict[str, Any]) -> float:
        return min(geod.inv(*place, found["lon"], found["lat"])[2] for place in examples) / 1000

    assert 0 < len(result["neighbours"]) < len(everything["neighbours"])
    assert all(nearest_km(found) > 1.5 * 0.994 for found in result["neighbours"])
    kept = {found["tile"] for found in result["neighbours"]}
    assert all(found["tile"] in kept for found in everything["neighbours"] if nearest_km(found) > 1.5 * 1.006)


def test_entities_are_combined_too(workspace: Workspace, alpha: Embeddings) -> None:
    refs = [alpha.entity_ref(row) for row in (0, 40, 80)]
    result = answer(
        workspace, "--entity", refs[0], "--like", refs[1], "--unlike", refs[2], "--region", "alpha", "--k", 5
    )
    found = [one["entity"] for one in result["neighbours"]]
    assert result["level"] == "entity" and len(set(found)) == 5 and not set(found) & set(refs)


def test_reasons_name_tags_of_both_and_no_names(workspace: Workspace, alpha: Embeddings) -> None:
    result = answer(workspace, "--tile", alpha.tile_name(4), "--region", "alpha", "--k", 30)
    reasons = [found["reason"] for found in result["neighbours"]]
    assert any(reason.startswith("both: ") for reason in reasons)
    for text in reasons:
        for part in filter(None, text.split("; ")):
            assert part.partition(": ")[0] in ("both", "only there", "only in the query")
            assert "name=" not in part and "addr:" not in part


def test_every_format_has_the_same_results(workspace: Workspace, alpha: Embeddings) -> None:
    query = ("--tile", alpha.tile_name(4), "--region", "alpha", "--k", 4)
    expected = [(found["tile"], found["score"]) for found in answer(workspace, *query)["neighbours"]]
    as_json = json.loads(invoke(workspace, *query, "--format", "json").stdout)["result"]
    assert [(found["tile"], found["score"]) for found in as_json["neighbours"]] == expected
    rows = list(csv.DictReader(io.StringIO(invoke(workspace, *query, "--format", "csv").stdout)))
    assert [(row["tile"], float(row["score"])) for row in rows] == expected
    assert [row["reason"] for row in rows] == [found["reason"] for found in as_json["neighbours"]]
    places = json.loads(invoke(workspace, *query, "--format", "geojson").stdout)["features"][1:]
    assert [(one["id"], one["properties"]["score"]) for one in places] == expected
    table = invoke(workspace, *query).stdout
    assert all(tile in table for tile, _ in expected)
    error = invoke(workspace, *query, "--json", "--format", "csv").exception
    assert isinstance(error, UsageError) and "cannot be combined" in error.message
    assert (
        Path(as_json["files"]["csv"]).read_text(encoding="utf-8").startswith("rank,place,top_percent,score,score_kind,")
    )


def test_all_that_changes_the_result_changes_the_id(workspace: Workspace, alpha: Embeddings) -> None:
    names = [alpha.tile_name(row) for row in range(3)]

    def made(**arguments: Any) -> str:
        given = {"k": 2, "model": "tagpool", "region": "alpha", "tile": names[0]} | arguments
        return stages.knn(workspace, **given).id

    ids = [
        made(),
        made(space="whitened"),
        made(min_distance_km=1),
        made(like=[names[1]]),
        made(unlike=[names[1]]),
        made(like=[names[1]], weight=[1, 2]),
        made(from_region=["alpha", "beta"]),
        made(exclude_same_group=True),
    ]
    assert len(set(ids)) == len(ids)
    assert made(like=names[1], tile=None, unlike=[]) == made(tile=names[1], weight=1, like=[])
    assert made(tile=None, like=[f" {names[0]}"]) == ids[0]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("--like", "{0}", "--weight", 1, "--weight", 2), "expected once for each of the 1 parts", "--weight 1"),
        (("--like", "{0}", "--weight", 0), "expected a number above 0", "--weight 1"),
        (("--like", "{0}", "--weight", math.nan), "expected a number above 0", "--weight 1"),
        (("--unlike", "{0}"), "or `--like` is required", "--tile 16_"),
        (("--like", "{0}", "--unlike", "way/1x"), "expected node/ID", "--unlike node/"),
        (("--like", "{0}", "--unlike", "16_1_1"), "unknown tile `16_1_1`", "--unlike 16_"),
        (("--like", "{0}", "--unlike", "{1}"), "vectors of tiles and of entities differ", "--like 16_"),
        (("--like", "{0}", "--unlike", "{0}", "--space", "white"), "unknown space `white`", "--space balanced"),
        (("--like", "{0}", "--min-distance-km", -1), "expected 0 or more", "--min-distance-km 0.5"),
        (("--like", "{0}", "--alpha", 0.5), "cannot be combined with `--like`, which searches tiles", "--alpha 0"),
        (("--like", "{0}", "--from-region", "gamma"), "unknown region `gamma`", "geojepa"),
    ],
)  # fmt: skip
def test_wrong_queries_are_refused_with_a_hint(
    workspace: Workspace, alpha: Embeddings, arguments: tuple[object, ...], message: str, hint: str
) -> None:
    before = [one.id for one in workspace.artifacts("neighbours")]
    entity = next(ref for ref in map(alpha.entity_ref, range(alpha.n_entities)) if ref.startswith("node/"))
    given = [str(one).format(alpha.tile_name(0), entity) for one in arguments]
    error = invoke(workspace, *given).exception
    assert isinstance(error, UsageError | NotFoundError), error
    assert message in error.message, error.message
    assert hint in str(error.hint), error.hint
    assert [one.id for one in workspace.artifacts("neighbours")] == before


def test_the_page_shows_reasons_ranks_and_other_examples(workspace: Workspace, alpha: Embeddings) -> None:
    names = [alpha.tile_name(row) for row in range(3)]
    made = stages.knn(
        workspace, names[0], k=3, model="tagpool", region="alpha", html=True, like=[names[1]], unlike=[names[2]]
    )
    page = made.file("neighbours.html").read_text(encoding="utf-8")
    assert page.count('class="map"') == 6
    assert "also like" in page and "unlike" in page and "top " in page and "<dt>both</dt>" in page
    assert "<script" not in page
