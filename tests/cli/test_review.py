"""`geojepa review` on planted regions, and on the demo city with errors: the tagged error comes first."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import osmium
import pytest
import shapely.geometry
from commandline import invoke
from hint_commands import check_hint
from planted_entities import add_planted

from geojepa_cli import stages
from geojepa_cli.demo.city import make_city
from geojepa_cli.demo.write import write_pbf
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

FILES = ("review.json", "review.geojson", "review.csv", "review.html")
HOSTILE = '<img src=x onerror="alert(1)">\x1b[31m'
WRONG = 20  # number of the planted building with a wrong class


def _wrong(number: int, name: str) -> str:
    return {"house": "church", "church": "garage", "garage": "house"}[name] if number == WRONG else name


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A region whose buildings have the class that their shape shows, except one."""
    made = Workspace(tmp_path_factory.mktemp("review") / "workspace")
    add_planted(made, "town", "shape", groups=20, value_of=_wrong)
    return made


def review(workspace: Workspace, **given: Any) -> Artifact:
    return stages.review(workspace, **({"model": "tagpool", "tag": "building"} | given))


def test_the_one_wrong_class_is_the_first_finding_and_its_true_class_is_suggested(workspace: Workspace) -> None:
    answer = review(workspace, html=True).read_json("review.json")
    first = answer["findings"][0]
    assert first["entity"] == f"way/{WRONG + 1}" and first["record_id"] == f"w{WRONG + 1}@1"
    true = {"church": "house", "garage": "church", "house": "garage"}[first["present"].partition("=")[2]]
    assert first["suggested"] == f"building={true}"
    assert f"tagged `{first['present']}`" in first["reason"] and "neighbours: of the 10 nearest" in first["reason"]
    assert "hint, not an error" in answer["note"]
    assert len({one["entity"] for one in answer["findings"]}) == len(answer["findings"])
    scores = [one["score"] for one in answer["findings"]]
    assert scores == sorted(scores, reverse=True)


def test_files_say_the_same(workspace: Workspace) -> None:
    made = review(workspace, html=True)
    found = made.read_json("review.json")["findings"]
    features = made.read_json("review.geojson")["features"]
    rows = list(csv.DictReader(made.file("review.csv").open(newline="")))
    assert [one["entity"] for one in found] == [one["id"] for one in features] == [row["entity"] for row in rows]
    for one, feature, row in zip(found, features, rows, strict=True):
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid and shape.centroid.distance(shapely.Point(one["lon"], one["lat"])) < 1e-4
        properties = feature["properties"]
        assert properties["osm_id"] == int(one["entity"][4:]) and properties["reason"] == one["reason"]
        assert properties["url"] == f"https://www.openstreetmap.org/{one['entity']}"
        assert row["suggested"] == properties["suggested"] == one["suggested"]
        assert "building" not in properties  # an editor must not take the feature for the element
    page = made.file("review.html").read_text(encoding="utf-8")
    assert page.count('<li class="card"') == len(found) and "<script" not in page and "hint, not an error" in page


def test_the_result_does_not_depend_on_threads_and_the_rebuild_command_makes_the_same_artifact(
    workspace: Workspace, tmp_path: Path
) -> None:
    made = review(workspace, html=True, k=7, seed=2)
    before = {name: made.file(name).read_bytes() for name in FILES}
    hint = str(made.rebuild_hint())
    check_hint(hint)
    for words in ("--k 7", "--seed 2", "--tag building", "--html", "--model tagpool", "--region town"):
        assert words in hint
    shutil.rmtree(made.path)
    again = review(workspace, html=True, k=7, seed=2, threads=2)
    assert again.ref == made.ref and {name: again.file(name).read_bytes() for name in FILES} == before


def test_every_parameter_is_part_of_the_id(workspace: Workspace) -> None:
    changes: list[dict[str, Any]] = [
        *({}, {"k": 9}, {"seed": 1}, {"html": True}, {"tag": ["building", "natural"]}, {"min_entities": 1}),
        *({"max_entities": 500}, {"model": "tag-counts"}),
    ]
    assert len({review(workspace, **one).ref for one in changes}) == len(changes)


def test_a_tag_that_nobody_has_is_refused_with_the_nearest_key(workspace: Workspace) -> None:
    with pytest.raises(
        NotFoundError, match=r"no entity in `town` has the tag `bulding=\*`; did you mean `building`\?"
    ) as e:
        review(workspace, tag="bulding")
    assert "--tag building" in str(e.value.hint)
    done = invoke(workspace, "review", "--tag", "shop")
    assert isinstance(done.exception, NotFoundError) and not list(workspace.root.glob("reviews/*.partial"))


@pytest.mark.parametrize("tag", ["highway=primary", "*", "", ["all", "highway"]])
def test_a_tag_that_is_no_key_is_refused(workspace: Workspace, tag: Any) -> None:
    with pytest.raises(UsageError, match="expected one key"):
        review(workspace, tag=tag)


@pytest.mark.parametrize("key", ["name", "name:de", "addr:housenumber", "ref", "website", "contact:phone", "wikidata"])
def test_keys_with_free_texts_are_refused(workspace: Workspace, key: str) -> None:
    with pytest.raises(UsageError, match=f"`--tag {key}`: its values are names, addresses") as error:
        review(workspace, tag=["building", key])
    hint = str(error.value.hint)
    assert "--tag highway" in hint and key not in hint.split()


def test_a_region_without_a_tile_or_with_too_little_to_learn_from_is_refused(workspace: Workspace) -> None:
    with pytest.raises(DataError, match="no tile of the region `town` has"):
        review(workspace, min_entities=500, max_entities=600)
    with pytest.raises(DataError, match=r"nothing to review in `town`: `area`: 1 class of at least 10"):
        review(workspace, tag="natural")


def test_small_regions_are_refused(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "workspace")
    add_planted(made, "hamlet", "shape", groups=2)
    with pytest.raises(DataError, match=r"in 2 zoom-14 groups, expected at least 3"):
        review(made)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str, str]:
    """The small demo city, in which one building is a lake with a hostile name. Returns its ids too."""
    folder = tmp_path_factory.mktemp("city")
    write_pbf(make_city("small"), folder / "right.osm.pbf")
    houses = [
        way.id
        for way in osmium.FileProcessor(str(folder / "right.osm.pbf"), osmium.osm.WAY)
        if way.tags.get("building") == "house"
    ]
    lake = houses[len(houses) // 2]
    with osmium.SimpleWriter(str(folder / "wrong.osm.pbf")) as writer:
        for element in osmium.FileProcessor(str(folder / "right.osm.pbf")):
            if element.is_way() and element.id == lake:
                element = element.replace(tags={"natural": "water", "name": HOSTILE, "note:x": "=cmd"})
            writer.add(element)
    made = Workspace(folder / "workspace")
    stages.fetch(made, pbf=folder / "wrong.osm.pbf", name="city")
    stages.tile(made, "city")
    stages.process(made, "city")
    return made, f"way/{lake}", f"w{lake}@1"


def test_a_building_that_became_a_lake_comes_first_in_the_demo_city(city: tuple[Workspace, str, str]) -> None:
    workspace, lake, record = city
    made = stages.review(workspace, "city", "geojepa-small", "natural", html=True)
    first = made.read_json("review.json")["findings"][0]
    assert (first["entity"], first["record_id"]) == (lake, record)
    assert first["present"] == "natural=water" and first["suggested"].startswith("building=")
    page = made.file("review.html").read_text(encoding="utf-8")
    assert HOSTILE not in page and "<img src=x" not in page and "\x1b" not in page
    assert "&lt;img src=x onerror=" in page
    text = made.file("review.geojson").read_text(encoding="utf-8")
    assert json.loads(text) and "\x1b" not in text
    shown = invoke(workspace, "review", "--model", "geojepa-small", "--tag", "natural", "--html")
    assert shown.exit_code == 0 and "\x1b[31m" not in shown.stdout
    assert re.search(r"natural=water", shown.stdout) and "hint, not an error" in re.sub(r"\s+", " ", shown.stdout)
    assert "change anything. ©" in re.sub(r"\s+", " ", shown.stdout)
