"""The demo city's street views show what stands there, where a pinhole camera sees it."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shapely import LineString, Point, unary_union

from geojepa_cli.demo.city import City, make_city
from geojepa_cli.demo.plan import District
from geojepa_cli.demo.street_scene import Building, Flat, Post, Scene, make_scenes
from geojepa_cli.demo.street_views import EYE_M, ROADS, SIDE_PX, View, draw_view, plan_views, write_street_views

LAND = {(0, 0): District.PARK}
WALL = (250, 20, 20)


@pytest.fixture(scope="module")
def city() -> City:
    return make_city("small")


def shown(heading: float, scene: Scene, field_of_view: float = 90.0) -> np.ndarray:
    """View of a scene from the middle of tile (0, 0), which is 250 m east and 250 m south of the corner."""
    return np.asarray(draw_view(View("v", (0.5, 0.5), heading, field_of_view), {(0, 0): scene}, LAND), float)


def box(north_m: float, height_m: float, half_m: float = 5.0) -> Building:
    south, north = -250 + north_m, -250 + north_m + 2
    corners = [(250 - half_m, south), (250 + half_m, south), (250 + half_m, north), (250 - half_m, north)]
    return Building(corners, height_m, 0, WALL, 0.0, WALL)


def red(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 0] - picture[..., 1] > 60) & (picture[..., 0] - picture[..., 2] > 60)


@pytest.mark.parametrize("field_of_view", [60.0, 90.0])
def test_a_building_is_where_a_pinhole_camera_sees_it(field_of_view: float) -> None:
    rows, columns = np.nonzero(red(shown(0.0, Scene(buildings=[box(20.0, 8.0)]), field_of_view)))
    focal = SIDE_PX / 2 / math.tan(math.radians(field_of_view / 2))
    middle = SIDE_PX / 2
    assert columns.min() == pytest.approx(middle - focal * 5 / 20, abs=1.5)
    assert columns.max() == pytest.approx(middle + focal * 5 / 20, abs=1.5)
    assert rows.min() == pytest.approx(middle - focal * (8.0 - EYE_M) / 20, abs=1.5)
    assert rows.max() == pytest.approx(middle + focal * EYE_M / 20, abs=1.5)


def test_what_is_aside_or_behind_is_not_shown() -> None:
    scene = Scene(buildings=[box(20.0, 8.0)])
    assert not red(shown(180.0, scene)).any() and not red(shown(90.0, scene)).any()
    columns = np.nonzero(red(shown(30.0, scene)))[1]
    assert columns.mean() < SIDE_PX / 2 - 20  # who turns right sees it on the left


def test_the_nearer_building_hides_the_farther_one() -> None:
    near, far = box(20.0, 8.0), box(60.0, 8.0)
    both = Scene(buildings=[near, Building(far.corners, 8.0, 0, (20, 20, 250), 0.0, WALL)])
    assert (shown(0.0, both) == shown(0.0, Scene(buildings=[near]))).all()


def test_areas_trees_and_signs_are_shown_in_their_colours() -> None:
    lake = Flat(15, [(240.0, -240.0), (260.0, -240.0), (260.0, -210.0), (240.0, -210.0)], (10, 10, 250))
    assert (shown(0.0, Scene(flats=[lake]))[SIDE_PX // 2 + 10, SIDE_PX // 2] == (10, 10, 250)).all()
    for is_tree in (True, False):
        sign = shown(0.0, Scene(posts=[Post((250.0, -240.0), 5.0, WALL, is_tree)]))
        assert red(sign)[: SIDE_PX // 2].any() and not red(sign)[: SIDE_PX // 6].any()


def test_views_stand_on_roads_and_look_along_them(city: City) -> None:
    ways = [way for way in city.sheet.ways if way.tags.get("highway") in ROADS]
    roads = unary_union([LineString(city.sheet.points(way.nodes)) for way in ways])
    views = plan_views(city)
    assert len({view.name for view in views}) == len(views) > 40
    for view in views:
        assert roads.distance(Point(view.place)) < 1e-9 and 0 <= view.heading < 360 and 60 <= view.field_of_view <= 90


def test_what_stands_in_several_tiles_is_in_each(city: City) -> None:
    scenes = make_scenes(city)
    assert sum(len(scene.buildings) for scene in scenes.values()) == sum(
        answers["building_count"] or 0 for answers in city.answers.values()
    ) + sum(way.tags.get("man_made") == "storage_tank" for way in city.sheet.ways)
    water = [way for way in city.sheet.ways if way.tags.get("water") == "river"]
    assert water and all(any(flat.layer == 15 for flat in scenes[1, row].flats) for row in range(3))


def test_files_and_table_belong_together_and_stay_the_same(city: City, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    path = write_street_views(city, tmp_path / "a", lambda *call: calls.append(call))
    again = write_street_views(city, tmp_path / "b")
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert calls[-1] == (len(rows), len(rows)) and len(rows) == len(list(path.parent.glob("*.jpg")))
    for row in rows:
        with Image.open(path.parent / row["file"]) as picture:
            assert picture.size == (SIDE_PX, SIDE_PX)
        assert (path.parent / row["file"]).read_bytes() == (again.parent / row["file"]).read_bytes()
    assert path.read_bytes() == again.read_bytes()
