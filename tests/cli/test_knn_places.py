"""`geojepa knn` by words, place, drawing and area, on a small region that goes through the whole pipeline."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from geojson_files import collection, write
from hint_commands import split_hint
from map_builder import X, Y, at, box
from pyproj import Geod
from three_places import COURT, MEADOW, RUNWAY, YARD, knn, places_workspace, tiles_of
from typer.testing import CliRunner, Result

from geojepa_cli import stages
from geojepa_cli.app import app
from geojepa_cli.errors import DataError, GeojepaError, MissingExtraError, NotFoundError, UsageError
from geojepa_cli.search.parts.place import distances_m, parse_place
from geojepa_cli.sources.drawing import read_drawing
from geojepa_cli.stages.drawn_query import encode_drawings
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return places_workspace(tmp_path_factory.mktemp("places"))


@pytest.fixture(scope="module")
def vectors(workspace: Workspace) -> Embeddings:
    (made,) = stages.embed(workspace, "tagpool", "land", min_entities=1)
    return Embeddings(made.file("embeddings.h5"))


def _places(places: list[tuple[float, float]], dx: float = 0.0) -> list[list[float]]:
    return [list(at(x + dx, y)) for x, y in places]


def _airfield(path: Path, dx: float = 0.0) -> Path:
    rings = [[*(ring := _places(one, dx)), ring[0]] for one in (MEADOW, COURT, YARD)]
    return write(
        path,
        collection(
            ({"aeroway": "runway", "surface": "grass"}, {"type": "LineString", "coordinates": _places(RUNWAY, dx)}),
            ({"landuse": "meadow"}, {"type": "Polygon", "coordinates": rings[:1]}),
            ({"building": True, "id": 7}, {"type": "Polygon", "coordinates": rings[1:]}),
            ({"aeroway": "windsock", "note": None}, {"type": "Point", "coordinates": list(at(0.25 + dx, 0.3))}),
        ),
    )


def invoke(workspace: Workspace, *arguments: object) -> Result:
    given = ["--workspace", str(workspace.root), "knn", "--model", "tagpool", "--min-entities", "1"]
    return CliRunner().invoke(app, [*given, *map(str, arguments)])


@pytest.mark.parametrize(
    ("text", "first"),
    [("airfield with a grass runway", 0), ("school next to a motorway", 1), ("lake", 2), ("pupils", 1)],
)
def test_words_find_the_tile(workspace: Workspace, text: str, first: int) -> None:
    assert tiles_of(knn(workspace, text=text))[0] == first


def test_words_find_entities(workspace: Workspace) -> None:
    found = knn(workspace, text="runway", level="entity", k=2)
    assert found["level"] == "entity"
    assert found["neighbours"][0]["entity"] == "way/1"
    assert found["neighbours"][0]["reason"] == "matches: aeroway=runway"


def test_the_table_and_the_page_show_the_text(workspace: Workspace) -> None:
    shown = invoke(workspace, "--text", "school next to a motorway", "--html").output
    assert '"school next to a motorway"' in shown
    assert "read as `school` + `motorway`; `school`: amenity=school; `motorway`: highway=motorway, lanes=2" in " ".join(
        shown.split()
    )
    (page,) = (workspace.root / "neighbours").glob("school-next*/neighbours.html")
    assert "<code>school next to a motorway</code>" in page.read_text()


def test_a_drawing_has_the_vector_of_the_same_tile(workspace: Workspace, vectors: Embeddings, tmp_path: Path) -> None:
    drawn = _encoded(workspace, _airfield(tmp_path / "d.geojson"), "tile")
    np.testing.assert_allclose(drawn, vectors["tile/vector"][0], atol=2e-6)
    assert tiles_of(knn(workspace, draw_=tmp_path / "d.geojson"))[0] == 0


def test_a_drawing_across_an_edge_is_moved_into_one_tile(
    workspace: Workspace, vectors: Embeddings, tmp_path: Path
) -> None:
    path = _airfield(tmp_path / "d.geojson", dx=0.4)
    np.testing.assert_allclose(_encoded(workspace, path, "tile"), vectors["tile/vector"][0], atol=2e-6)
    assert "moved" in knn(workspace, draw_=path)["parts"][0]["note"]


def test_a_drawn_entity_finds_entities(workspace: Workspace, tmp_path: Path) -> None:
    line = {"type": "LineString", "coordinates": _places([(0.3, 0.3), (0.5, 0.4)])}
    path = write(tmp_path / "d.geojson", collection(({"highway": "motorway"}, line)))
    assert knn(workspace, draw_=path, level="entity")["neighbours"][0]["entity"] == "way/11"


def _encoded(workspace: Workspace, path: Path, level: Any) -> np.ndarray:
    from geojepa_cli.search.parts.drawing import DrawingPart

    part = DrawingPart(str(path), read_drawing(path))
    (found,) = encode_drawings(workspace, Model("tagpool"), [part], workspace.find("processed", "land"), level)
    assert isinstance(found, DrawingPart)
    return np.array(found.vector)


def test_distances_equal_those_of_a_geodesic_library() -> None:
    tile = np.array([box().bounds])
    lon, lat = at(-3.0, 0.5)
    _, _, expected = Geod(ellps="WGS84").inv(lon, lat, tile[0, 0], lat)
    assert distances_m(lon, lat, tile)[0] == pytest.approx(expected, rel=0.006)
    assert distances_m(*at(0.5, 0.5), tile)[0] == 0
    across = np.array([[179.9, 0.0, 180.0, 0.1]])
    assert distances_m(-179.9, 0.05, across)[0] == pytest.approx(math.radians(0.1) * 6371008.8, rel=1e-6)


def test_a_place_stands_for_its_tile_or_the_nearest(workspace: Workspace) -> None:
    inside = knn(workspace, at=",".join(map(str, at(1.5, 0.5))))
    assert inside["query"]["tile"] == f"16_{X + 1}_{Y}"
    assert 1 not in tiles_of(inside)
    outside = knn(workspace, at=",".join(map(str, at(3.5, 0.5))))
    assert outside["query"]["tile"] == f"16_{X + 2}_{Y}"
    assert "no embedded tile" in outside["parts"][0]["note"]


def test_an_area_has_the_area_weighted_mean_of_its_tiles(
    workspace: Workspace, vectors: Embeddings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geojepa_cli.search.neighbours import SearchRegion
    from geojepa_cli.search.parts.area import AreaPart
    from geojepa_cli.search.query import Source
    from geojepa_cli.search.space import SearchSpace
    from geojepa_cli.store.reader import RegionStore

    (west, north), (east, south) = at(0.5, 0.5), at(1.25, 0.75)
    area = shapely.box(west, south, east, north)
    path = write(tmp_path / "a.geojson", collection(({}, shapely.geometry.mapping(area))))
    geod = Geod(ellps="WGS84")
    weights = [abs(geod.geometry_area_perimeter(area.intersection(box(dx)))[0]) for dx in range(3)]
    expected = np.average(vectors["tile/vector"].astype(np.float64), axis=0, weights=weights)
    store = RegionStore(workspace.find("processed", "land").file("processed.h5"), "land")
    source = Source([SearchRegion("land", vectors, store)], "tile", SearchSpace("raw"))
    found = AreaPart(str(path)).resolve(source)
    np.testing.assert_allclose(found.unit, expected / np.linalg.norm(expected), rtol=1e-4, atol=1e-7)
    assert tiles_of(knn(workspace, area=path)) == [2]
    first = np.array(vectors["tile/vector"])
    first[1:] = 0.0  # only the first tile has an image, for example
    monkeypatch.setattr(type(vectors), "__getitem__", _replacing("tile/vector", first, type(vectors).__getitem__))
    centred = SearchSpace("centred", np.full(first.shape[1], 0.25))
    found = AreaPart(str(path)).resolve(replace(source, space=centred))
    shifted = first[0].astype(np.float64) - 0.25
    np.testing.assert_allclose(found.unit, shifted / np.linalg.norm(shifted), rtol=1e-5, atol=1e-7)


def _replacing(name: str, values: np.ndarray, read: Any) -> Any:
    return lambda self, wanted: values if wanted == name else read(self, wanted)


def test_parts_of_all_kinds_combine_by_weight(workspace: Workspace) -> None:
    place = ",".join(map(str, at(0.5, 0.5)))
    towards = [tiles_of(knn(workspace, at=place, text="lake", weight=[1, weight]))[0] for weight in (0.01, 50)]
    assert towards[1] == 2
    hidden = knn(workspace, text="lake", unlike=[f"16_{X + 2}_{Y}"], weight=[1, 1])
    assert 2 not in tiles_of(hidden)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"text": " "}, UsageError, "has no word"),
        ({"text": "??"}, UsageError, "has no word"),
        ({"at": "here"}, UsageError, "expected LON,LAT"),
        ({"at": "200,10"}, UsageError, "longitude from -180"),
        ({"at": "10,95"}, UsageError, "latitude"),
        ({"at": "0,0"}, NotFoundError, "outside the regions"),
        ({"text": "lake", "level": "town"}, UsageError, "unknown level"),
        ({"at": "1,1", "level": "entity"}, UsageError, "cannot be combined"),
        ({"draw_": "none.geojson"}, NotFoundError, "is not a file"),
        ({"area": "none.geojson"}, NotFoundError, "is not a file"),
        ({"text": "lake", "weight": [1, 2]}, UsageError, "given 2 times"),
    ],
)
def test_wrong_queries_are_refused(
    workspace: Workspace, arguments: dict[str, Any], error: type[GeojepaError], message: str
) -> None:
    with pytest.raises(error, match=message):
        knn(workspace, **arguments)


def test_the_hint_for_latitude_before_longitude_swaps_them(workspace: Workspace) -> None:
    lon, lat = at(1.5, 0.5)
    with pytest.raises(NotFoundError, match="longitude comes before latitude") as caught:
        knn(workspace, at=f"{lat},{lon}")
    (words,) = split_hint(str(caught.value.hint))
    assert f"--at={lon},{lat}" in words


POINT = {"type": "Point", "coordinates": [10.0, 50.0]}


def test_drawings_without_entities_or_with_several_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    dropped = write(tmp_path / "d.geojson", collection(({"created_by": "x"}, {**POINT, "coordinates": at(0.5, 0.5)})))
    with pytest.raises(DataError, match="no entity that a model reads"):
        knn(workspace, draw_=dropped)
    with pytest.raises(UsageError, match="4 features"):
        knn(workspace, draw_=_airfield(tmp_path / "e.geojson"), level="entity")


def test_areas_outside_and_areas_of_points_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    far = shapely.geometry.mapping(shapely.box(1, 1, 2, 2))
    with pytest.raises(NotFoundError, match="share no area"):
        knn(workspace, area=write(tmp_path / "far.geojson", collection(({}, far))))
    with pytest.raises(DataError, match="expected polygons"):
        knn(workspace, area=write(tmp_path / "points.geojson", collection(({}, POINT))))


def test_a_text_without_the_encoder_names_the_extra(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from geojepa_cli.tags import encoder

    def missing() -> tuple[str, str]:
        raise MissingExtraError("tag embeddings need the `text` extra")

    monkeypatch.setattr(encoder, "_minilm_package", missing)
    with pytest.raises(MissingExtraError, match="`text` extra"):
        knn(workspace, text="pond")


def test_a_hint_repeats_every_kind_of_part(workspace: Workspace, tmp_path: Path) -> None:
    path = _airfield(tmp_path / "d.geojson")
    made = stages.knn(
        workspace,
        model="tagpool",
        region="land",
        min_entities=1,
        text="lake",
        draw_=path,
        like=[f"16_{X}_{Y}"],
        weight=[1, 2, 3],
    )
    words = made.rebuild_hint().words()
    for option, value in (("--text", "lake"), ("--draw", "FILE"), ("--like", f"16_{X}_{Y}")):
        assert words[words.index(option) + 1] == value
    assert [words[i + 1] for i, word in enumerate(words) if word == "--weight"] == ["1.0", "2.0", "3.0"]


def test_places_are_parsed() -> None:
    assert parse_place(" -76.88, 40.26") == (-76.88, 40.26)
    assert parse_place(",".join(map(str, (-0.00001, 1e-9)))) == (-0.00001, 1e-9)  # as in rebuild commands
    for text in ("1;2", "1", "1,2,3", "nan,1", "1e1,2", "1e-,2", "٣,2"):
        with pytest.raises(UsageError):
            parse_place(text)
