"""The demo city: its labels are what an independent count of its PBF finds, and its bytes never change."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import osmium
import pytest
import shapely
from osmium.osm import RelationMember

from geojepa_cli.demo.answers import cell_of, cells_of_line
from geojepa_cli.demo.city import QUERY_TILE, City, make_city
from geojepa_cli.demo.write import write_pbf

CAR_ROADS = {"motorway", "trunk", "primary", "secondary", "tertiary", "unclassified", "residential", "service"}
CAR_ROADS |= {f"{road}_link" for road in CAR_ROADS}
Element = tuple[dict[str, str], shapely.Geometry]


@pytest.fixture(scope="module")
def city() -> City:
    return make_city("small")


@pytest.fixture(scope="module")
def pbf(city: City, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "city.osm.pbf"
    write_pbf(city, path)
    return path


def read_elements(path: Path) -> Iterator[Element]:
    """Tagged elements that have a geometry of their own, in degrees: points, lines (open or closed) and areas."""
    located: dict[int, tuple[float, float]] = {}
    lines: dict[int, list[tuple[float, float]]] = {}
    for item in osmium.FileProcessor(str(path)):
        tags = {tag.k: tag.v for tag in item.tags}
        if item.is_node():
            located[item.id] = (item.lon, item.lat)
            if tags:
                yield tags, shapely.Point(located[item.id])
        elif item.is_way():
            lines[item.id] = [located[node.ref] for node in item.nodes]
            if tags:
                closed = item.nodes[0].ref == item.nodes[-1].ref
                yield tags, (shapely.Polygon if closed else shapely.LineString)(lines[item.id])
        elif tags.get("type") == "multipolygon":
            yield tags, multipolygon(lines, item.members)


def multipolygon(lines: dict[int, list[tuple[float, float]]], members: list[RelationMember]) -> shapely.Geometry:
    by_role: dict[str, list[shapely.Polygon]] = defaultdict(list)
    for member in members:
        by_role[member.role].append(shapely.Polygon(lines[member.ref]))
    return shapely.union_all(by_role["outer"]).difference(shapely.union_all(by_role["inner"]))


def tiles_of(geometry: shapely.Geometry) -> Iterator[str]:
    """Names of the zoom-16 tiles that hold a point, or a positive length or area of the rest."""
    west, south, east, north = geometry.bounds
    for x in range(column(west), column(east) + 1):
        for y in range(row(north), row(south) + 1):
            bounds = (longitude(x), latitude(y + 1), longitude(x + 1), latitude(y))
            inside = geometry.intersection(shapely.box(*bounds))
            if geometry.geom_type == "Point" or inside.length > 0:
                yield f"16_{x}_{y}"


def column(lon: float) -> int:
    return math.floor((lon + 180) / 360 * 65536)


def row(lat: float) -> int:
    return math.floor((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 65536)


def longitude(x: int) -> float:
    return x / 65536 * 360 - 180


def latitude(y: int) -> float:
    return math.degrees(2 * math.atan(math.exp(math.pi * (1 - 2 * y / 65536))) - math.pi / 2)


def recount(elements: list[Element]) -> dict[str, dict[str, float | None]]:
    """The five labels by the definitions of table 36, from tags and geometry alone."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    speeds: dict[str, list[float]] = defaultdict(list)
    for tags, geometry in elements:
        facts = {
            "traffic_signals": "traffic_signals" in {*tags, *tags.values()} or "crossing:signals" in tags,
            "building_count": "building" in tags,
            "bridge": "bridge" in {*tags, *tags.values()},
            "highway": "highway" in tags,
        }
        facts["car_bridge"] = facts["bridge"] and tags.get("highway") in CAR_ROADS
        for tile in tiles_of(geometry):
            counts[tile].update(name for name, holds in facts.items() if holds)
            counts[tile]["entities"] += 1
            if "maxspeed" in tags:
                number, unit = tags["maxspeed"].split()
                assert unit == "mph"
                speeds[tile].append(float(number) * 1.609344)
    return {
        tile: {
            "traffic_signals": float(count["traffic_signals"]),
            "building_count": float(count["building_count"]),
            "bridge": float(count["bridge"] > 0),
            "car_bridge": float(count["car_bridge"] > 0),
            "max_speed": max(speeds[tile], default=None if count["highway"] else -100.0),
            "entities": float(count["entities"]),
        }
        for tile, count in counts.items()
    }


def test_labels_equal_an_independent_count_of_the_file(city: City, pbf: Path) -> None:
    found = recount([element for element in read_elements(pbf) if set(element[0]) != {"source"}])
    assert set(found) == set(city.answers)
    for tile, answer in city.answers.items():
        expected = {task: label if label is None else pytest.approx(label) for task, label in answer.items()}
        assert {task: found[tile][task] for task in answer} == expected, tile


def test_nearly_every_tile_has_enough_entities_to_be_kept(pbf: Path) -> None:
    found = recount(list(read_elements(pbf)))
    enough = sum(answer["entities"] >= 5 for answer in found.values())
    assert enough > 0.95 * len(found)


@pytest.mark.parametrize(("size", "groups"), [("small", 4), ("full", 30)])
def test_every_task_has_both_kinds_of_tiles(size: str, groups: int) -> None:
    city = make_city(size)
    assert len({(int(x) // 4, int(y) // 4) for _, x, y in (name.split("_") for name in city.answers)}) == groups
    assert QUERY_TILE in city.answers
    for task in ("traffic_signals", "building_count", "bridge", "car_bridge"):
        positive = sum(bool(answer[task]) for answer in city.answers.values())
        assert 0.1 * len(city.answers) < positive < 0.9 * len(city.answers), task
    speeds = Counter(answer["max_speed"] for answer in city.answers.values())
    assert speeds[None] and speeds[-100.0] and len(speeds) > 5
    assert any(answer["bridge"] and not answer["car_bridge"] for answer in city.answers.values())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(city: City, pbf: Path, tmp_path: Path) -> None:
    write_pbf(make_city("small"), tmp_path / "again.osm.pbf")
    write_pbf(make_city("small", seed=1), tmp_path / "other.osm.pbf")
    assert (tmp_path / "again.osm.pbf").read_bytes() == pbf.read_bytes()
    assert (tmp_path / "other.osm.pbf").read_bytes() != pbf.read_bytes()


@pytest.mark.parametrize("seed", range(1, 8))
def test_any_seed_keeps_clear_of_tile_borders(seed: int) -> None:
    make_city(
        "full", seed
    )  # raises where something is placed so near to a border that its tile is a matter of rounding


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ValueError, match="`full` or `small`"):
        make_city("huge")


@pytest.mark.parametrize(
    "line", [[(0.5, 0.5), (2.4, 0.6)], [(0.2, 0.3), (3.3, 2.1), (3.4, 0.4)], [(2.5, 3.5), (2.5, 0.5)]]
)
def test_the_tiles_of_a_line_are_those_of_its_finely_sampled_points(line: list[tuple[float, float]]) -> None:
    sampled = shapely.segmentize(shapely.LineString(line), 1e-3)
    assert cells_of_line(line) == {(math.floor(x), math.floor(y)) for x, y in sampled.coords}


def test_a_place_on_a_tile_border_is_refused() -> None:
    with pytest.raises(ValueError, match="tile border"):
        cell_of((2.0001, 0.5))
    with pytest.raises(ValueError, match="tile corner"):
        cells_of_line([(0.5, 0.5), (1.5, 1.5)])


def test_the_park_is_a_multipolygon_with_two_holes(pbf: Path) -> None:
    parks = [geometry for tags, geometry in read_elements(pbf) if tags.get("leisure") == "park"]
    assert [len(park.interiors) for park in parks] == [2]
