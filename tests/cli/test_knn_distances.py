"""`geojepa knn`: distances from areas, drawings and words; words alone, and words together with vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from geojson_files import collection, write
from map_builder import X, Y, at
from pyproj import Geod
from three_places import knn, places_workspace, tiles_of
from typer.testing import CliRunner

from geojepa_cli import stages
from geojepa_cli.app import app
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.store.embeddings import VECTORS, Embeddings
from geojepa_cli.store.entity_rows import COLUMNS, rows_of_region
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return places_workspace(tmp_path_factory.mktemp("distances"))


def _area(folder: Path, west: float, east: float) -> Path:
    area = shapely.box(*at(west, 0.75), *at(east, 0.25))
    return write(folder / "area.geojson", collection(({}, shapely.geometry.mapping(area))))


def _point(folder: Path, x: float) -> Path:
    point = {"type": "Point", "coordinates": at(x, 0.5)}
    return write(folder / "point.geojson", collection(({"amenity": "school"}, point)))


def _width_km() -> float:
    """The distance between the centres of two tiles next to each other."""
    return float(Geod(ellps="WGS84").inv(*at(0.5, 0.5), *at(1.5, 0.5))[2]) / 1000


def test_results_keep_the_minimum_distance_to_the_tiles_of_an_area(workspace: Workspace, tmp_path: Path) -> None:
    path = _area(tmp_path, 0.2, 0.8)
    found = {
        factor: sorted(tiles_of(knn(workspace, area=path, min_distance_km=factor * _width_km())))
        for factor in (0.9, 1.1, 2.1)
    }
    assert found == {0.9: [1, 2], 1.1: [2], 2.1: []}
    both = knn(workspace, area=_area(tmp_path, 0.2, 1.8), min_distance_km=1.1 * _width_km())
    assert tiles_of(both) == []


def test_results_keep_the_minimum_distance_to_a_drawing(workspace: Workspace, tmp_path: Path) -> None:
    for x, factor, expected in ((0.5, 0.5, [1, 2]), (0.5, 1.1, [2]), (2.5, 1.1, [0]), (40.5, 1.1, [0, 1, 2])):
        found = knn(workspace, draw_=_point(tmp_path, x), min_distance_km=factor * _width_km())
        assert sorted(tiles_of(found)) == expected, (x, factor)


def test_areas_and_drawings_exclude_their_group(workspace: Workspace, tmp_path: Path) -> None:
    assert tiles_of(knn(workspace, area=_area(tmp_path, 0.2, 0.8), exclude_same_group=True)) == []
    assert tiles_of(knn(workspace, draw_=_point(tmp_path, 0.5), exclude_same_group=True)) == []
    assert len(tiles_of(knn(workspace, draw_=_point(tmp_path, 40.5), exclude_same_group=True))) == 3


@pytest.mark.parametrize(
    ("option", "arguments"),
    [("--min-distance-km", {"min_distance_km": 1}), ("--exclude-same-group", {"exclude_same_group": True})],
)
def test_words_have_no_place_to_measure_from(workspace: Workspace, option: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"`{option}` needs a query with a place, but `--text` has none"):
        knn(workspace, text="lake", **arguments)
    place = ",".join(map(str, at(0.5, 0.5)))
    assert 0 not in tiles_of(knn(workspace, text="lake", at=place, **arguments))


def test_the_hint_leaves_the_option_out(workspace: Workspace) -> None:
    given = ["--workspace", str(workspace.root), "knn", "--text", "lake", "--exclude-same-group", "--k", "2"]
    error = CliRunner().invoke(app, [*given, "--min-distance-km", "3"]).exception
    assert isinstance(error, UsageError)
    hint = str(error.hint)
    assert "--text lake" in hint and "--k 2" in hint and "--exclude" not in hint and "--min-distance" not in hint


def test_words_and_vectors_have_equal_say_with_equal_weights(workspace: Workspace) -> None:
    """The spread of text scores is smaller than that of cosines, but both are standardised."""
    tile = f"16_{X}_{Y}"
    found = knn(workspace, tile=tile, text="lake")
    assert found["score_kind"] == "blend" and {one["score_kind"] for one in found["neighbours"]} == {"blend"}
    alone = {one["tile"]: one["score"] for one in knn(workspace, tile=tile)["neighbours"]}
    by_words = {one["tile"]: one["score"] for one in knn(workspace, text="lake")["neighbours"]}
    cosines, words = np.array([1.0, *alone.values()]), np.array([by_words[name] for name in (tile, *alone)])
    expected = sum((values - values.mean()) / values.std() for values in (cosines, words)) / 2
    scores = {one["tile"]: one["score"] for one in found["neighbours"]}
    np.testing.assert_allclose([scores[name] for name in alone], expected[1:], atol=1e-4)
    for one in found["neighbours"]:
        assert one["part_scores"] == pytest.approx([alone[one["tile"]], by_words[one["tile"]]], abs=1e-6)
    assert tiles_of(found)[0] == 2


def test_words_alone_need_neither_model_nor_vectors(tmp_path: Path) -> None:
    workspace = places_workspace(tmp_path)
    given = ["--workspace", str(workspace.root), "knn", "--text", "lake", "--min-entities", "1", "--k", "2", "--html"]
    done = CliRunner().invoke(app, [*given, "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)["result"]
    assert workspace.artifacts("embeddings") == []
    assert "model" not in answer and "space" not in answer and answer["score_kind"] == "text"
    assert "alpha" not in answer and answer["neighbours"][0]["reason"].startswith("matches: ")
    (made,) = workspace.artifacts("neighbours")
    assert made.name == "lake.text" and not any(one.startswith(("embeddings/", "models/")) for one in made.inputs)
    hint = str(made.rebuild_hint())
    assert "--text lake" in hint and "--model" not in hint and "--min-entities 1" in hint
    page = made.file("neighbours.html").read_text(encoding="utf-8")
    assert "vectors" not in page and "cosine" not in page
    table = CliRunner().invoke(app, given)
    assert "by words" in table.stdout and "cosine" not in table.stdout and "centred" not in table.stdout
    warned = CliRunner().invoke(app, [*given, "--model", "tagpool"])
    assert "`--model` has no effect" in warned.output


def test_rows_without_vectors_have_the_sizes_of_embedded_entities(workspace: Workspace) -> None:
    (made,) = stages.embed(workspace, "tagpool", "land", min_entities=1)
    processed = RegionStore(workspace.find("processed", "land").file("processed.h5"))
    expected, found = Embeddings(made.file("embeddings.h5")), rows_of_region(processed, EntityLimits(1, 1250))
    for name in set(COLUMNS) - set(VECTORS):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_results_without_a_matching_tag_have_no_reason(workspace: Workspace) -> None:
    found = knn(workspace, text="lake")["neighbours"]
    assert [one["reason"] for one in found] == ["matches: water=lake", "", ""]


@pytest.mark.parametrize(("level", "named"), [("tile", "`--text`"), ("entity", "`--text`")])
def test_alpha_with_words_names_the_words(workspace: Workspace, level: str, named: str) -> None:
    with pytest.raises(UsageError, match=f"`--alpha` cannot be combined with {named}"):
        knn(workspace, text="lake", level=level, alpha=0.5)
    with pytest.raises(UsageError, match="`--alpha` cannot be combined with `--at`, `--text`, which searches tiles"):
        knn(workspace, text="lake", at=",".join(map(str, at(0.5, 0.5))), alpha=0.5)


def test_reasons_of_a_drawing_compare_only_tags_that_tiles_have(workspace: Workspace, tmp_path: Path) -> None:
    """`created_by` is dropped by the tag filter, and names and colours classify nothing."""
    line = {"type": "LineString", "coordinates": [at(1.2, 0.5), at(1.8, 0.6)]}
    tags = {
        "highway": "motorway",
        "lanes": "2",
        "created_by": "me",
        "fixme": "here",
        "colour": "red",
        "marker-size": "x",
    }
    found = knn(workspace, draw_=write(tmp_path / "d.geojson", collection((tags, line))))
    reasons = {one["tile"]: one["reason"] for one in found["neighbours"]}
    assert reasons[f"16_{X + 1}_{Y}"] == "both: highway=motorway; only there: amenity=bench, amenity=school"
    assert all("only in the query: highway=motorway" in reasons[f"16_{X + dx}_{Y}"] for dx in (0, 2))


def test_a_bare_feature_or_geometry_is_an_area_and_a_drawing(workspace: Workspace, tmp_path: Path) -> None:
    area = shapely.geometry.mapping(shapely.box(*at(0.2, 0.75), *at(0.8, 0.25)))
    whole = knn(workspace, area=write(tmp_path / "a.geojson", collection(({}, area))))["neighbours"]
    feature = {"type": "Feature", "properties": None, "geometry": area}
    for name, content in (("b", feature), ("c", area)):
        assert knn(workspace, area=write(tmp_path / f"{name}.geojson", content))["neighbours"] == whole
    point = {
        "type": "Feature",
        "properties": {"amenity": "school"},
        "geometry": {"type": "Point", "coordinates": at(1.5, 0.5)},
    }
    assert knn(workspace, draw_=write(tmp_path / "d.geojson", point))["neighbours"]


def test_an_area_that_is_hardly_covered_is_a_warning_with_its_share(workspace: Workspace, tmp_path: Path) -> None:
    mostly = knn(workspace, area=_area(tmp_path, 0.2, 3.2))["parts"][0]
    assert "warning" not in mostly and "93% of the area" in mostly["note"]
    hardly = knn(workspace, area=_area(tmp_path, 2.5, 10.5))["parts"][0]
    assert "only 6 % of the area of `area.geojson` has embedded tiles" in hardly["warning"]
    given = ["--workspace", str(workspace.root), "knn", "--model", "tagpool", "--min-entities", "1", "--area"]
    shown = CliRunner().invoke(app, [*given, str(tmp_path / "area.geojson")])
    assert "warning: only 6 % of the area" in " ".join(shown.output.split())
    with pytest.raises(NotFoundError, match="share no area"):
        knn(workspace, area=_area(tmp_path, 30.5, 31.5))
