"""`geojepa-tiler tile` on small maps with known answers; shapely is the oracle."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import h5py
import osmium
import pytest
import shapely
from pyproj import Geod
from tiles_reader import Piece, Tiles, run_tiler

from geojepa_cli.errors import DataError, UsageError

ZOOM = 16
X, Y = 18052, 25957
GEOD = Geod(ellps="WGS84")
#: Square degrees: a perimeter of 0.02 degrees, and vertices rounded to 1e-7.
SLIVER = 2e-9


def edge_longitude(x: float) -> float:
    return x / 2**ZOOM * 360 - 180


def edge_latitude(y: float) -> float:
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / 2**ZOOM))))


def at(x: float, y: float) -> tuple[float, float]:
    """Longitude and latitude of a place in tiles: (0.5, 0.5) is the middle of tile (X, Y), y runs southwards."""
    return edge_longitude(X + x), edge_latitude(Y + y)


def box(dx: int = 0, dy: int = 0) -> shapely.Polygon:
    west, north = at(dx, dy)
    east, south = at(dx + 1, dy + 1)
    return shapely.box(west, south, east, north)


class Map:
    """A map under construction, as OPL lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.next_node = 1

    @staticmethod
    def tags(tags: dict[str, str]) -> str:
        return "T" + ",".join(f"{key}={value.replace(' ', '%20%')}" for key, value in tags.items())

    def node(self, place: tuple[float, float], number: int = 0, version: int = 1, **tags: str) -> int:
        number = number or self.next_node
        self.next_node = max(self.next_node, number + 1)
        lon, lat = at(*place)
        self.lines.append(f"n{number} v{version} dV {self.tags(tags)} x{lon:.7f} y{lat:.7f}")
        return number

    def way(self, number: int, places: Sequence[tuple[float, float] | int], close: bool = False, **tags: str) -> int:
        refs = [place if isinstance(place, int) else self.node(place) for place in places]
        refs += refs[:1] if close else []
        nodes = ",".join(f"n{ref}" for ref in refs)
        version = tags.pop("version", "1")
        self.lines.append(f"w{number} v{version} dV {self.tags(tags)} N{nodes}")
        return number

    def relation(self, number: int, members: list[str], **tags: str) -> int:
        self.lines.append(f"r{number} v1 dV {self.tags(tags)} M{','.join(members)}")
        return number

    def write(self, path: Path, keep_order: bool = False) -> Path:
        order = self.lines if keep_order else sorted(self.lines, key=type_and_number)
        opl = path.with_suffix(".opl")
        opl.write_text("\n".join(order) + "\n")
        path.unlink(missing_ok=True)
        with osmium.SimpleWriter(str(path)) as writer:
            for item in osmium.FileProcessor(opl):
                writer.add(item)
        return path


def type_and_number(line: str) -> tuple[int, int]:
    return "nwr".index(line[0]), int(line.split(" ")[0][1:])


def tile(tmp_path: Path, world: Map, *options: str) -> Tiles:
    return run_tiler(world.write(tmp_path / "map.osm.pbf"), tmp_path / "tiles.h5", *options)[0]


def the(tiles: Tiles, ref: str, dx: int = 0, dy: int = 0) -> Piece:
    return tiles.pieces((X + dx, Y + dy))[ref]


def where(tiles: Tiles, ref: str) -> set[tuple[int, int]]:
    return {(x - X, y - Y) for (x, y), piece in tiles.all_pieces() if piece.ref == ref}


def ground_area(area: shapely.Polygon) -> float:
    return abs(GEOD.geometry_area_perimeter(shapely.geometry.polygon.orient(area))[0])


def assert_close(found: float, expected: float) -> None:
    assert found == pytest.approx(expected, rel=1e-4, abs=0.005)


def test_a_way_crossing_a_tile_without_a_node_in_it_is_kept(tmp_path: Path) -> None:
    world = Map()
    world.way(1, [(-0.5, 0.5), (2.5, 0.6)], highway="primary")
    tiles = tile(tmp_path, world)
    assert where(tiles, "way/1") == {(-1, 0), (0, 0), (1, 0), (2, 0)}
    piece = the(tiles, "way/1", 1)
    assert (piece.kind, piece.token, len(piece.parts)) == ("line", "entity", 1)
    expected = shapely.LineString([at(-0.5, 0.5), at(2.5, 0.6)]).intersection(box(1))
    assert shapely.hausdorff_distance(piece.geometry(), expected) < 1.5e-7
    assert_close(piece.length_m, GEOD.geometry_length(expected))


def test_a_diagonal_is_in_the_tiles_it_passes_and_in_no_other(tmp_path: Path) -> None:
    world = Map()
    world.way(1, [(0.25, 0.5), (1.5, 1.75)], highway="primary")
    assert where(tile(tmp_path, world), "way/1") == {(0, 0), (0, 1), (1, 1)}


def test_a_line_that_re_enters_a_tile_keeps_two_parts(tmp_path: Path) -> None:
    world = Map()
    world.way(1, [(0.2, 0.2), (1.5, 0.3), (1.5, 0.6), (0.1, 0.7)], highway="primary")
    tiles = tile(tmp_path, world)
    assert len(the(tiles, "way/1").lines()) == 2
    assert len(the(tiles, "way/1", 1).lines()) == 1
    expected = shapely.LineString([at(0.2, 0.2), at(1.5, 0.3), at(1.5, 0.6), at(0.1, 0.7)]).intersection(box())
    assert_close(the(tiles, "way/1").length_m, GEOD.geometry_length(expected))


def test_a_line_along_a_tiles_edge_is_in_no_tile(tmp_path: Path) -> None:
    world = Map()
    world.lines += [
        f"n1 v1 dV x{edge_longitude(18176):.7f} y35.01",
        f"n2 v1 dV x{edge_longitude(18176):.7f} y35.02",
        "w1 v1 dV Thighway=primary Nn1,n2",
    ]
    world.node((0.5, 0.5), number=9, amenity="bench")
    assert edge_longitude(18176) * 1e7 % 1 == 0  # one of the edges that a node can lie on
    assert where(tile(tmp_path, world), "way/1") == set()


def test_a_point_on_the_west_edge_belongs_to_the_tile_east_of_it(tmp_path: Path) -> None:
    world = Map()
    world.lines.append(f"n1 v1 dV Tamenity=bench x{edge_longitude(18176):.7f} y35.01")
    tiles = tile(tmp_path, world)
    assert {x for (x, _), _ in tiles.all_pieces()} == {18176}


def square(low: float, high: float, clockwise: bool = False) -> list[tuple[float, float]]:
    corners = [(low, low), (low, high), (high, high), (high, low)]
    return corners[::-1] if clockwise else corners


def polygon(*rings: list[tuple[float, float]]) -> shapely.Polygon:
    outer, *holes = [[at(*place) for place in ring] for ring in rings]
    return shapely.Polygon(outer, holes)


def test_an_area_with_a_hole_keeps_it_in_every_tile_it_meets(tmp_path: Path) -> None:
    world = Map()
    world.way(1, square(0.2, 1.8), close=True)
    world.way(2, square(0.6, 1.4, clockwise=True), close=True)
    world.relation(3, ["w1@outer", "w2@inner"], type="multipolygon", landuse="forest")
    tiles = tile(tmp_path, world)
    whole = polygon(square(0.2, 1.8), square(0.6, 1.4))
    assert where(tiles, "relation/3") == {(0, 0), (1, 0), (0, 1), (1, 1)}
    for dx, dy in where(tiles, "relation/3"):
        piece, expected = the(tiles, "relation/3", dx, dy), whole.intersection(box(dx, dy))
        assert piece.kind == "area"
        assert piece.geometry().symmetric_difference(expected).area < SLIVER
        assert_close(piece.area_m2, ground_area(expected))
    world.way(4, square(0.3, 0.4), close=True)
    world.relation(5, ["w1@outer", "w4@inner"], type="multipolygon", landuse="forest")
    piece = the(tile(tmp_path, world), "relation/5")
    assert [role for role, _ in piece.parts] == ["outer", "inner"]
    assert shapely.LinearRing(piece.parts[0][1]).is_ccw
    assert not shapely.LinearRing(piece.parts[1][1]).is_ccw


def test_a_clipped_polygon_that_falls_apart_has_several_parts(tmp_path: Path) -> None:
    comb = [(0.5, 0.1), (1.5, 0.1), (1.5, 0.9), (0.5, 0.9), (0.5, 0.6), (1.2, 0.6), (1.2, 0.4), (0.5, 0.4)]
    world = Map()
    world.way(1, comb, close=True, building="yes")
    tiles = tile(tmp_path, world)
    assert [role for role, _ in the(tiles, "way/1").parts] == ["outer", "outer"]
    assert [role for role, _ in the(tiles, "way/1", 1).parts] == ["outer"]
    expected = polygon(comb).intersection(box())
    assert the(tiles, "way/1").geometry().symmetric_difference(expected).area < SLIVER
    assert_close(the(tiles, "way/1").area_m2, sum(ground_area(part) for part in expected.geoms))


def test_an_area_that_covers_tiles_is_marked_there_and_cut_elsewhere(tmp_path: Path) -> None:
    world = Map()
    world.way(1, square(-1.5, 2.5), close=True, natural="water")
    tiles = tile(tmp_path, world)
    assert len(where(tiles, "way/1")) == 25
    middle = the(tiles, "way/1")
    assert middle.covers_tile and not middle.parts
    assert_close(middle.area_m2, ground_area(box()))
    assert not the(tiles, "way/1", -2, -2).covers_tile
    total = sum(piece.area_m2 for _, piece in tiles.all_pieces())
    whole = polygon(square(-1.5, 2.5))
    assert total == pytest.approx(ground_area(whole), rel=1e-3)


def test_a_closed_road_stays_a_line_and_repeats_its_first_node(tmp_path: Path) -> None:
    world = Map()
    world.way(1, square(0.2, 0.8), close=True, highway="residential")
    world.way(2, square(0.3, 0.7), close=True, highway="pedestrian", area="yes")
    world.way(3, square(0.4, 0.6), close=True, building="yes", area="no")
    tiles = tile(tmp_path, world)
    ((role, coordinates),) = the(tiles, "way/1").parts
    assert role == "line" and len(coordinates) == 5 and (coordinates[0] == coordinates[-1]).all()
    assert the(tiles, "way/2").kind == "area"
    assert the(tiles, "way/3").kind == "line"


def test_a_closed_road_that_leaves_the_tile_is_one_part_through_its_first_node(tmp_path: Path) -> None:
    world = Map()
    world.way(1, [(0.5, 0.5), (1.5, 0.5), (1.5, 0.8), (0.5, 0.8)], close=True, highway="residential")
    tiles = tile(tmp_path, world)
    (line,) = the(tiles, "way/1").lines()
    assert len(line) == 4  # edge, two corners, edge


def test_a_node_and_a_way_of_one_id_are_two_objects(tmp_path: Path) -> None:
    world = Map()
    world.node((0.5, 0.5), number=77, amenity="bench")
    world.way(77, [(0.1, 0.1), (0.2, 0.2)], highway="path")
    assert set(tile(tmp_path, world).pieces((X, Y))) == {"node/77", "way/77"}


def mixed_map() -> Map:
    world = Map()
    a, b = world.node((0.4, 0.4), highway="crossing"), world.node((1.4, 0.4), amenity="bench")
    world.way(5, [a, (0.9, 0.5), b], highway="primary", name="Main")
    world.way(3, square(0.2, 1.8), close=True)
    world.way(4, square(0.6, 1.4), close=True, building="yes")
    world.relation(9, ["w3@outer", "w4@inner"], type="multipolygon", natural="wood")
    world.relation(8, ["w5@", f"n{a}@via", "w4@to"], type="route", route="bus")
    return world


@pytest.mark.parametrize("name", ["map.osm.pbf", "map.osm", "map.osm.gz", "map.osm.bz2"])
def test_unsorted_input_in_any_format_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    run_tiler(mixed_map().write(tmp_path / "sorted.osm.pbf"), tmp_path / "sorted.h5")
    world = mixed_map()
    world.lines.reverse()
    run_tiler(world.write(tmp_path / name, keep_order=True), tmp_path / "unsorted.h5")
    assert (tmp_path / "unsorted.h5").read_bytes() == (tmp_path / "sorted.h5").read_bytes()


@pytest.mark.parametrize("options", [["--threads", "1"], ["--threads", "8"], ["--memory", "1K"]])
def test_threads_and_memory_do_not_change_a_byte(tmp_path: Path, options: list[str]) -> None:
    source = mixed_map().write(tmp_path / "map.osm.pbf")
    run_tiler(source, tmp_path / "a.h5", "--threads", "2")
    run_tiler(source, tmp_path / "b.h5", *options)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if "spill" in path.name) == []


def test_the_newest_version_of_a_repeated_object_wins(tmp_path: Path) -> None:
    world = Map()
    world.node((0.5, 0.5), number=1, version=2, amenity="bench")
    world.node((1.5, 0.5), number=1, version=1, amenity="bin")
    world.node((0.2, 0.2), number=2)
    world.way(1, [2, (0.4, 0.2)], highway="path", version="3")
    world.way(1, [2, (0.8, 0.2)], highway="road", version="1")
    tiles, counts = run_tiler(world.write(tmp_path / "map.osm.pbf", keep_order=True), tmp_path / "tiles.h5")
    assert where(tiles, "node/1") == {(0, 0)}
    assert tiles.tags("node/1") == {"amenity": "bench"} and tiles.tags("way/1") == {"highway": "path"}
    assert counts["dropped"] == {"older version of a node": 1, "older version of a way": 1}


def test_several_inputs_do_not_double_what_both_have(tmp_path: Path) -> None:
    world = mixed_map()
    one, two = world.write(tmp_path / "one.osm.pbf"), world.write(tmp_path / "two.osm.pbf")
    run_tiler(one, tmp_path / "one.h5")
    run_tiler([one, two], tmp_path / "both.h5")
    assert (tmp_path / "both.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()


def test_a_relation_with_members_outside_keeps_those_that_are_there(tmp_path: Path) -> None:
    world = Map()
    stop = world.node((0.3, 0.3), highway="bus_stop")
    world.way(1, [(0.1, 0.5), (1.9, 0.5)], highway="primary")
    world.relation(2, ["w1@", f"n{stop}@stop", "w999@", "r5@"], type="route", route="bus")
    tiles = tile(tmp_path, world)
    assert where(tiles, "relation/2") == {(0, 0), (1, 0)}
    assert [role for role, _ in the(tiles, "relation/2").parts] == ["line", "point"]
    assert [role for role, _ in the(tiles, "relation/2", 1).parts] == ["line"]
    assert the(tiles, "relation/2").kind == "relation"
    assert tiles.members("relation/2") == [("way/1", ""), (f"node/{stop}", "stop")]
    assert tiles.absent_members("relation/2") == 2


def test_a_multipolygon_whose_ring_is_cut_off_is_its_members(tmp_path: Path) -> None:
    world = Map()
    world.way(1, [(0.2, 0.2), (0.2, 0.8), (0.8, 0.8)])
    world.relation(2, ["w1@outer", "w999@outer"], type="multipolygon", landuse="forest")
    tiles, counts = run_tiler(world.write(tmp_path / "map.osm.pbf"), tmp_path / "tiles.h5")
    piece = the(tiles, "relation/2")
    assert (piece.kind, [role for role, _ in piece.parts]) == ("relation", ["line"])
    assert counts["repaired"] == {"multipolygon with absent members or nodes, kept as its members": 1}


def test_a_member_that_covers_a_tile_is_a_ring_of_the_relation(tmp_path: Path) -> None:
    world = Map()
    world.way(1, square(-0.5, 1.5), close=True, landuse="industrial")
    world.relation(2, ["w1@perimeter"], type="site", site="plant")
    tiles = tile(tmp_path, world)
    assert the(tiles, "way/1").covers_tile
    piece = the(tiles, "relation/2")
    assert not piece.covers_tile
    assert shapely.hausdorff_distance(piece.geometry(), box()) < 1e-7


def test_ways_with_absent_nodes_use_those_that_are_there(tmp_path: Path) -> None:
    world = Map()
    world.way(1, [(0.2, 0.2), 9999, (0.4, 0.2), (0.4, 0.4)], highway="path")
    tiles = tile(tmp_path, world)
    assert len(the(tiles, "way/1").lines()[0]) == 3
    assert tiles.absent_members("way/1") == 1


def test_a_self_crossing_area_is_made_valid(tmp_path: Path) -> None:
    world = Map()
    bow_tie = [(0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8)]
    world.way(1, bow_tie, close=True, landuse="grass")
    piece = the(tile(tmp_path, world), "way/1")
    expected = shapely.make_valid(polygon(bow_tie))
    assert piece.geometry().buffer(0).symmetric_difference(expected).area < SLIVER
    assert [role for role, _ in piece.parts] == ["outer", "outer"]


def test_tokens_tell_boundaries_and_restrictions_from_entities(tmp_path: Path) -> None:
    world = Map()
    world.way(1, square(0.1, 0.9), close=True, boundary="administrative", admin_level="8")
    world.way(2, square(0.2, 0.8), close=True, boundary="protected_area", leisure="nature_reserve")
    world.way(3, square(0.3, 0.7), close=True)
    world.relation(4, ["w3@outer"], type="boundary", boundary="administrative")
    via = world.node((0.5, 0.5))
    world.way(5, [via, (0.6, 0.5)], highway="residential")
    world.relation(6, ["w5@from", f"n{via}@via", "w5@to"], type="restriction", restriction="no_u_turn")
    world.relation(7, ["r4@"], type="network", name="of relations")
    tiles = tile(tmp_path, world)
    tokens = {ref: tiles.columns["object/token"][row] for ref, row in tiles.rows.items()}
    assert tokens == {
        "way/1": 1,
        "way/2": 0,
        "relation/4": 1,
        "way/5": 0,
        "relation/6": 2,
        "relation/7": 2,
    }
    assert where(tiles, "relation/7") == set()
    assert tiles.members("relation/7") == [("relation/4", "")]


def test_the_tag_filter_drops_bookkeeping_and_objects_left_with_nothing(tmp_path: Path) -> None:
    world = Map()
    world.lines.append(f"n1 v1 dV Tamenity=bench,source=survey,source:date=2020 x{at(0.5, 0.5)[0]} y{at(0.5, 0.5)[1]}")
    world.node((0.6, 0.5), number=2, created_by="JOSM")
    world.node((0.7, 0.5), number=3)
    tiles = tile(tmp_path, world)
    assert tiles.refs == ["node/1"] and tiles.tags("node/1") == {"amenity": "bench"}
    assert list(tiles.columns["vocab/count"]) == [1]
    kept = tile(tmp_path, world, "--keep-tags", "created_by", "source:*", "--drop-tags", "amenity")
    assert kept.tags("node/1") == {"source:date": "2020"} and kept.tags("node/2") == {"created_by": "JOSM"}


def test_the_vocabulary_is_sorted_by_bytes_and_counted(tmp_path: Path) -> None:
    world = Map()
    world.node((0.1, 0.5), amenity="bench", name="Ö")
    world.node((0.2, 0.5), amenity="bench", name="a")
    world.node((0.3, 0.5), amenity="Z")
    tiles = tile(tmp_path, world)
    pairs = [
        (tiles.text("vocab/key", i), tiles.text("vocab/value", i)) for i in range(len(tiles.columns["vocab/count"]))
    ]
    assert pairs == [("amenity", "Z"), ("amenity", "bench"), ("name", "a"), ("name", "Ö")]
    assert list(tiles.columns["vocab/count"]) == [1, 2, 1, 1]


def test_tiles_are_sorted_by_group_then_row_then_column(tmp_path: Path) -> None:
    world = Map()
    places = [(x, y) for x in range(-5, 6, 2) for y in range(-5, 6, 2)]
    for x, y in places:
        world.node((x + 0.5, y + 0.5), amenity="bench")
    names = tile(tmp_path, world).names
    assert len(names) == len(places)
    assert names == sorted(names, key=lambda name: (name[1] >> 2, name[0] >> 2, name[1], name[0]))


def test_a_box_keeps_only_the_tiles_that_meet_it(tmp_path: Path) -> None:
    world = Map()
    world.way(1, [(-1.5, 0.5), (3.5, 0.5)], highway="primary")
    west, south = at(0.5, 0.9)
    east, north = at(1.5, 0.1)
    tiles = tile(tmp_path, world, "--bbox", f"{west},{south},{east},{north}")
    assert where(tiles, "way/1") == {(0, 0), (1, 0)}


L_SHAPE = [(-0.5, -0.5), (2.5, -0.5), (2.5, 0.5), (0.5, 0.5), (0.5, 2.5), (-0.5, 2.5)]


def write_area(path: Path, form: str) -> Path:
    """An L of five tiles, with a corner of (2, 2) cut off by a second polygon; in degrees."""
    ring = [at(*place) for place in L_SHAPE]
    triangle = [at(2.2, 2.9), at(2.8, 2.9), at(2.8, 2.2)]
    if form == "poly":
        sections = ["\n".join(f"  {lon:.9E} {lat:.9E}" for lon, lat in points) for points in (ring, triangle)]
        path.write_text(f"area\n1\n{sections[0]}\nEND\n2\n{sections[1]}\nEND\nEND\n")
        return path
    polygons = [[[*points, points[0]]] for points in (ring, triangle)]
    geometry = {"type": "MultiPolygon", "coordinates": polygons}
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    whole = {"type": "FeatureCollection", "features": [feature]} if form == "features" else geometry
    path.write_text(json.dumps(whole))
    return path


@pytest.mark.parametrize("form", ["poly", "geometry", "features"])
def test_a_polygon_keeps_only_the_tiles_that_share_some_area_with_it(tmp_path: Path, form: str) -> None:
    world = Map()
    for x in range(-2, 5):
        for y in range(-2, 5):
            world.node((x + 0.5, y + 0.5), amenity="bench")
    world.way(1, [(-1.5, 1.5), (3.5, 1.5)], highway="primary")
    world.way(2, [(-1.5, -1.5), (4.5, -1.5), (4.5, 4.5), (-1.5, 4.5)], close=True, landuse="forest")
    world.relation(3, ["w2@outer"], type="multipolygon", natural="wood")
    world.relation(4, ["w2@", "w1@"], type="site", site="park")
    area = write_area(tmp_path / f"area.{form}", form)
    tiles = tile(tmp_path, world, "--polygon", str(area))
    expected = {(x, y) for x in range(-1, 3) for y in range(-1, 3) if x <= 0 or y <= 0} | {(2, 2)}
    assert {(x - X, y - Y) for x, y in tiles.names} == expected
    assert where(tiles, "way/2") == where(tiles, "relation/3") == where(tiles, "relation/4") == expected
    assert where(tiles, "way/1") == {(-1, 1), (0, 1)}
    # What is kept is kept whole: the pieces are those of a run without a polygon.
    for place, piece in tile(tmp_path, world).all_pieces():
        if place in tiles.tile_rows:
            kept = tiles.pieces(place)[piece.ref]
            assert (kept.area_m2, kept.length_m) == (piece.area_m2, piece.length_m)
            assert [(role, points.tolist()) for role, points in kept.parts] == [
                (role, points.tolist()) for role, points in piece.parts
            ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot open"),
        ("", "no polygon"),
        ('{"type": "Polygon", "coordinates": [[', "GeoJSON"),
        ('{"type": "Point", "coordinates": [1, 2]}', "no polygon"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [500, 0], [0, 5], [0, 0]]]}', "not on the globe"),
        ("area\n1\n 1 2\n 2 2\n 2 1\n", "no END"),
        ("area\n1\n 1 2\n 2 2\nEND\nEND\n", "fewer than three points"),
        ("area\n1\n one two\nEND\nEND\n", "no longitude and latitude"),
        ("area\n1\n 1 2\n 2 2\n 2 1\nEND\nEND\n", "no object with tags in the polygon"),
    ],
)
def test_a_polygon_file_of_no_use_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    area = tmp_path / "area.poly"
    if text is not None:
        area.write_text(text)
    with pytest.raises(DataError, match=message):
        tile(tmp_path, mixed_map(), "--polygon", str(area))
    assert not (tmp_path / "tiles.h5").exists()


def test_a_box_and_a_polygon_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        tile(tmp_path, mixed_map(), "--polygon", "area.poly", "--bbox", "0,0,1,1")


def antimeridian_map() -> Map:
    """Fiji's longitudes: a road, a lake with an island, and a wood of two ways, all on both sides."""
    world = Map()
    places = {1: (179.99, -17.001), 2: (-179.985, -17.004)}
    places |= {11: (179.98, -17.03), 12: (-179.98, -17.03), 13: (-179.98, -17.01), 14: (179.98, -17.01)}
    places |= {21: (179.995, -17.025), 22: (-179.995, -17.025), 23: (-179.995, -17.015), 24: (179.995, -17.015)}
    places |= {31: (179.97, -17.05), 32: (-179.97, -17.06), 33: (-179.99, -17.04)}
    world.lines += [f"n{number} v1 dV x{lon} y{lat}" for number, (lon, lat) in places.items()]
    world.lines += [
        "w1 v1 dV Thighway=primary Nn1,n2",
        "w2 v1 dV Tnatural=water Nn11,n12,n13,n14,n11",
        "w3 v1 dV T Nn21,n22,n23,n24,n21",
        "w4 v1 dV T Nn31,n32,n33",
        "w5 v1 dV T Nn33,n31",
        "w6 v1 dV Tnatural=water Nn31,n32,n33,n31",
        "r1 v1 dV Ttype=multipolygon,natural=water Mw2@outer,w3@inner",
        "r2 v1 dV Ttype=multipolygon,natural=wood Mw4@outer,w5@outer",
    ]
    return world


def shifted(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(lon % 360, lat) for lon, lat in points]


def test_what_crosses_the_antimeridian_is_cut_there(tmp_path: Path) -> None:
    tiles, counts = run_tiler(antimeridian_map().write(tmp_path / "map.osm.pbf"), tmp_path / "tiles.h5")
    road = [(179.99, -17.001), (-179.985, -17.004)]
    lake = shapely.Polygon(shifted([(179.98, -17.03), (-179.98, -17.03), (-179.98, -17.01), (179.98, -17.01)]))
    island = shapely.Polygon(
        shifted([(179.995, -17.025), (-179.995, -17.025), (-179.995, -17.015), (179.995, -17.015)])
    )
    wood = shapely.Polygon(shifted([(179.97, -17.05), (-179.97, -17.06), (-179.99, -17.04)]))
    expected = {"way/2": lake, "relation/1": lake - island, "relation/2": wood, "way/6": wood}
    found: dict[str, list[float]] = {ref: [] for ref in expected}
    length = 0.0
    for (x, _), piece in tiles.all_pieces():
        assert x < 8 or x >= 2**ZOOM - 8
        if piece.ref == "way/1":
            length += piece.length_m
            continue
        column = shapely.box(edge_longitude(x), -18, edge_longitude(x + 1), -16)
        assert piece.covers_tile or piece.geometry().within(column.buffer(1e-7))
        found[piece.ref].append(piece.area_m2)
    assert length == pytest.approx(GEOD.geometry_length(shapely.LineString(road)), rel=1e-4)
    for ref, shape in expected.items():
        assert sum(found[ref]) == pytest.approx(ground_area(shape), rel=1e-3), ref
        assert {x < 8 for (x, _), piece in tiles.all_pieces() if piece.ref == ref} == {True, False}
    assert counts["repaired"]["line segment across the antimeridian, cut there"] == 1
    assert counts["repaired"]["area across the antimeridian, cut there"] == 4
    assert counts["dropped"] == {}


def test_an_area_around_a_pole_is_left_out_and_counted(tmp_path: Path) -> None:
    world = Map()
    places = [(0, -70), (120, -70), (-120, -70)]
    world.lines += [f"n{number} v1 dV x{lon} y{lat}" for number, (lon, lat) in enumerate(places, 1)]
    world.lines += ["n9 v1 dV Tamenity=bench x1 y-70", "w1 v1 dV Tnatural=glacier Nn1,n2,n3,n1"]
    tiles, counts = run_tiler(world.write(tmp_path / "map.osm.pbf"), tmp_path / "tiles.h5")
    assert list(tiles.rows) == ["node/9"]
    assert counts["dropped"] == {"area around a pole": 1}


def test_extracts_that_share_a_border_give_what_one_extract_of_both_gives(tmp_path: Path) -> None:
    """Each has some nodes of the way and of the ring across the border, and one member of the route is in one only."""
    whole = mixed_map()
    whole.relation(20, ["w1@", "w5@"], type="route", route="hiking")
    run_tiler(whole.write(tmp_path / "whole.osm.pbf"), tmp_path / "whole.h5")
    nodes = [line for line in whole.lines if line.startswith("n")]
    rest = [line for line in whole.lines if not line.startswith("n")]
    parts = []
    for name, some in (("west", nodes[: len(nodes) * 2 // 3]), ("east", nodes[len(nodes) // 3 :])):
        part = Map()
        part.lines = some + [line for line in rest if name == "west" or not line.startswith("w5 ")]
        parts.append(part.write(tmp_path / f"{name}.osm.pbf"))
    for inputs in (parts, parts[::-1]):
        run_tiler(inputs, tmp_path / "both.h5")
        assert (tmp_path / "both.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.parametrize("zoom", [14, 15, 17, 18])
def test_other_zooms_divide_the_same_line(tmp_path: Path, zoom: int) -> None:
    world = Map()
    world.way(1, [(0.1, 0.1), (3.2, 2.7)], highway="primary")
    tiles = tile(tmp_path, world, "--zoom", str(zoom))
    whole = GEOD.geometry_length(shapely.LineString([at(0.1, 0.1), at(3.2, 2.7)]))
    assert sum(piece.length_m for _, piece in tiles.all_pieces()) == pytest.approx(whole, rel=1e-4)
    assert set(tiles.columns["tile/z"]) == {zoom} and tiles.attributes["zoom"] == zoom


def test_columns_are_contiguous_aligned_and_may_be_empty(tmp_path: Path) -> None:
    world = Map()
    world.node((0.5, 0.5), amenity="bench")
    tile(tmp_path, world)
    with h5py.File(tmp_path / "tiles.h5") as file:
        assert file.attrs["kind"] == "tiles" and file.attrs["schema_version"] == 2
        assert file["member/object"].shape == (0,) and len(file["role/text"]) == 1
        names: list[str] = []
        file.visit(names.append)
        for item in (file[name] for name in names):
            if isinstance(item, h5py.Dataset):
                assert item.chunks is None and item.compression is None
                assert item.size == 0 or item.id.get_offset() % 64 == 0
        assert {h5py.h5g.get_objinfo(file.id, name.encode()).mtime for name in names} == {0}


def test_a_box_that_ends_at_a_tile_edge_leaves_out_the_tiles_beyond_it(tmp_path: Path) -> None:
    opl = tmp_path / "equator.opl"
    cafes = ((0.001, 0.001), (0.001, -0.001), (-0.001, 0.001))
    opl.write_text("".join(f"n{i} v1 dV Tamenity=cafe x{x} y{y}\n" for i, (x, y) in enumerate(cafes, 1)))
    tiles, _ = run_tiler(opl, tmp_path / "tiles.h5", "--bbox=0,0,0.002,0.002")
    assert tiles.names == [(32768, 32767)]
    tiles, _ = run_tiler(opl, tmp_path / "tiles.h5", "--bbox=-0.002,-0.002,0,0.002")
    assert tiles.names == [(32767, 32767)]
