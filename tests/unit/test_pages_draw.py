"""The drawing of a tile: geometry, order, escaping."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from geojepa_cli.pages.neighbours.draw import draw_tile
from geojepa_cli.pages.neighbours.style import (
    BRIDGE,
    BUILDING,
    ROAD,
    ROADS,
    TUNNEL,
    area_style,
    line_style,
    point_style,
)
from geojepa_cli.store.tile_map import INNER, LINE, OUTER, POINT, MapObject, TileMap

SVG = "{http://www.w3.org/2000/svg}"
SQUARE = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
HOLE = np.array([[0.4, 0.4], [0.4, 0.6], [0.6, 0.6], [0.6, 0.4]])
STREET = np.array([[0.0, 0.5], [1.0, 0.5]])


def _tile(*objects: MapObject) -> TileMap:
    return TileMap("16_18052_25957", (-80.84, 34.99, -80.83, 35.0), 500.0, 498.0, objects)


def _paths(svg: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(f"{SVG}path"))


def test_a_polygon_with_a_hole_is_one_path_filled_by_evenodd() -> None:
    park = MapObject("way/1", {"leisure": "park"}, ((OUTER, SQUARE), (INNER, HOLE)), area_m2=1e4)
    paths = _paths(draw_tile(_tile(park)))
    assert len(paths) == 1
    assert paths[0].get("fill-rule") == "evenodd"
    assert paths[0].get("d", "").count("M") == paths[0].get("d", "").count("Z") == 2


def test_north_is_up_and_one_unit_is_a_metre() -> None:
    building = MapObject("way/1", {"building": "yes"}, ((OUTER, SQUARE),), area_m2=1e4)
    numbers = re.match(r"M(\S+) (\S+)l", _paths(draw_tile(_tile(building)))[0].get("d", ""))
    assert numbers is not None
    assert [float(n) for n in numbers.groups()] == [100.0, 398.0]  # 0.2 · 500 east; 498 − 0.2 · 500 from the top


def test_rounded_steps_do_not_drift() -> None:
    rng = np.random.default_rng(0)
    line = np.cumsum(rng.uniform(-0.0009, 0.001, (3000, 2)), axis=0)
    drawn = _paths(draw_tile(_tile(MapObject("way/1", {"waterway": "stream"}, ((LINE, line),)))))[0].get("d", "")
    first, steps = drawn[1:].split("l")
    end = np.array(first.split(), float) + np.array(steps.split(), float).reshape(-1, 2).sum(0)
    np.testing.assert_allclose(end, [line[-1, 0] * 500, 498 - line[-1, 1] * 500], atol=0.06)


def test_a_bridge_lies_over_a_road_and_a_road_over_a_building_whatever_the_order_of_the_file() -> None:
    bridge = MapObject("way/1", {"highway": "primary", "bridge": "yes"}, ((LINE, STREET),), length_m=500)
    road = MapObject("way/2", {"highway": "motorway"}, ((LINE, STREET[:, ::-1]),), length_m=500)
    house = MapObject("way/3", {"building": "yes"}, ((OUTER, SQUARE),), area_m2=1e4)
    colours = [(p.get("stroke"), p.get("fill")) for p in _paths(draw_tile(_tile(bridge, road, house)))]
    wanted = (("#b3a08f", "#d9cbbd"), (ROADS["motorway"][2], "none"), (ROADS["primary"][2], "none"))
    place = [colours.index(colour) for colour in wanted]
    assert place == sorted(place)


def test_casings_of_all_roads_lie_under_all_their_fills() -> None:
    a = MapObject("way/1", {"highway": "residential"}, ((LINE, STREET),))
    b = MapObject("way/2", {"highway": "secondary"}, ((LINE, STREET[:, ::-1]),))
    strokes = [p.get("stroke") for p in _paths(draw_tile(_tile(a, b)))]
    casings = [ROADS[h][3] for h in ("residential", "secondary")]
    fills = [ROADS[h][2] for h in ("residential", "secondary")]
    assert max(strokes.index(c) for c in casings) < min(strokes.index(f) for f in fills)


def test_text_from_osm_is_escaped_everywhere() -> None:
    evil = '<script>alert("x")</script>&\'"'
    street = MapObject("way/1", {"highway": "primary", "name": evil}, ((LINE, STREET),), length_m=500)
    odd = MapObject("way/2", {evil: evil, "building": evil, "highway": evil}, ((OUTER, SQUARE),))
    svg = draw_tile(_tile(street, odd), highlight="way/1", label=evil, uid='"><b>')
    assert "<script" not in svg
    assert "<b>" not in svg
    root = ET.fromstring(svg)
    assert evil in {element.text for element in root.iter(f"{SVG}textPath")}
    assert root.get("aria-label") == evil


def test_names_of_roads_are_never_upside_down() -> None:
    street = MapObject("way/1", {"highway": "primary", "name": "Main Street"}, ((LINE, STREET[::-1]),), length_m=500)
    svg = ET.fromstring(draw_tile(_tile(street)))
    target = next(svg.iter(f"{SVG}textPath")).get("href", "")[1:]
    path = next(p.get("d", "") for p in svg.iter(f"{SVG}path") if p.get("id") == target)
    assert float(path.split("l")[1].split()[0]) > 0


@pytest.mark.parametrize(
    ("parts", "element"),
    [(((POINT, SQUARE[:1]),), "circle"), (((LINE, STREET),), "path"), (((OUTER, SQUARE),), "path")],
)
def test_the_entity_asked_for_is_set_off(parts: tuple[tuple[int, np.ndarray], ...], element: str) -> None:
    item = MapObject("node/7", {"amenity": "cafe"}, parts)
    plain, marked = draw_tile(_tile(item)), draw_tile(_tile(item), highlight="node/7")
    assert "#d5006d" not in plain
    assert any(e.get("stroke") == "#d5006d" for e in ET.fromstring(marked).iter(SVG + element))


def test_an_area_that_covers_the_tile_becomes_its_ground_and_a_boundary_is_not_drawn() -> None:
    forest = MapObject("relation/1", {"landuse": "forest"}, (), covers_tile=True, is_token=False)
    boundary = MapObject("relation/2", {"boundary": "administrative"}, ((OUTER, SQUARE),), is_token=False)
    paths = _paths(draw_tile(_tile(forest, boundary)))
    assert [path.get("fill") for path in paths] == ["#b4d3a6"]


def test_layers_follow_the_tags() -> None:
    assert line_style({"highway": "primary"}).layer == ROAD
    assert line_style({"highway": "primary", "bridge": "yes"}).layer == BRIDGE
    assert line_style({"highway": "primary", "bridge": "no"}).layer == ROAD
    assert line_style({"highway": "primary", "tunnel": "yes"}).layer == TUNNEL
    assert area_style({"building": "yes", "landuse": "forest"}).layer == BUILDING
    assert area_style({"building": "no", "landuse": "forest"}).layer != BUILDING
    assert point_style({"highway": "traffic_signals"}).symbol == "signal"


def test_an_empty_tile_is_a_valid_drawing() -> None:
    assert ET.fromstring(draw_tile(_tile())).get("viewBox") == "0 0 500 498"
