"""The geometry that `geojepa-tiler tile` writes for small maps with known answers; shapely is the oracle."""

from __future__ import annotations

from pathlib import Path

import pytest
import shapely
from map_builder import (
    GEOD,
    SLIVER,
    ZOOM,
    Map,
    assert_close,
    at,
    box,
    edge_longitude,
    ground_area,
    polygon,
    square,
    the,
    tile,
    where,
)
from tiles_reader import run_tiler


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


def test_a_diagonal_is_only_in_the_tiles_that_it_passes(tmp_path: Path) -> None:
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


def test_a_line_along_the_edge_of_a_tile_is_in_no_tile(tmp_path: Path) -> None:
    world = Map()
    world.lines += [
        f"n1 v1 dV x{edge_longitude(18176):.7f} y35.01",
        f"n2 v1 dV x{edge_longitude(18176):.7f} y35.02",
        "w1 v1 dV Thighway=primary Nn1,n2",
    ]
    world.node((0.5, 0.5), number=9, amenity="bench")
    assert edge_longitude(18176) * 1e7 % 1 == 0  # a node can lie exactly on this edge
    assert where(tile(tmp_path, world), "way/1") == set()


def test_a_point_on_the_west_edge_belongs_to_the_tile_east_of_it(tmp_path: Path) -> None:
    world = Map()
    world.lines.append(f"n1 v1 dV Tamenity=bench x{edge_longitude(18176):.7f} y35.01")
    tiles = tile(tmp_path, world)
    assert {x for (x, _), _ in tiles.all_pieces()} == {18176}


def test_an_area_keeps_its_hole_in_every_tile(tmp_path: Path) -> None:
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


def test_a_polygon_that_clipping_divides_has_several_parts(tmp_path: Path) -> None:
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


def test_a_self_crossing_area_is_made_valid(tmp_path: Path) -> None:
    world = Map()
    bow_tie = [(0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8)]
    world.way(1, bow_tie, close=True, landuse="grass")
    piece = the(tile(tmp_path, world), "way/1")
    expected = shapely.make_valid(polygon(bow_tie))
    assert piece.geometry().buffer(0).symmetric_difference(expected).area < SLIVER
    assert [role for role, _ in piece.parts] == ["outer", "outer"]


def antimeridian_map() -> Map:
    """A road, a lake with an island, and a wood of two ways, all across the antimeridian near Fiji."""
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


def test_objects_across_the_antimeridian_are_cut_there(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("zoom", [14, 15, 17, 18])
def test_the_length_of_a_line_is_the_same_at_every_zoom(tmp_path: Path, zoom: int) -> None:
    world = Map()
    world.way(1, [(0.1, 0.1), (3.2, 2.7)], highway="primary")
    tiles = tile(tmp_path, world, "--zoom", str(zoom))
    whole = GEOD.geometry_length(shapely.LineString([at(0.1, 0.1), at(3.2, 2.7)]))
    assert sum(piece.length_m for _, piece in tiles.all_pieces()) == pytest.approx(whole, rel=1e-4)
    assert set(tiles.columns["tile/z"]) == {zoom} and tiles.attributes["zoom"] == zoom
