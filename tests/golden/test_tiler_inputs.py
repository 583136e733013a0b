"""`geojepa-tiler tile` with several inputs, formats and orders, and with `--bbox` and `--polygon`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from map_builder import Map, X, Y, at, mixed_map, tile, where
from tiles_reader import run_tiler

from geojepa_cli.errors import DataError, UsageError

L_SHAPE = [(-0.5, -0.5), (2.5, -0.5), (2.5, 0.5), (0.5, 0.5), (0.5, 2.5), (-0.5, 2.5)]


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


def test_objects_in_several_inputs_are_written_once(tmp_path: Path) -> None:
    world = mixed_map()
    one, two = world.write(tmp_path / "one.osm.pbf"), world.write(tmp_path / "two.osm.pbf")
    run_tiler(one, tmp_path / "one.h5")
    run_tiler([one, two], tmp_path / "both.h5")
    assert (tmp_path / "both.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()


def test_adjacent_extracts_give_the_same_bytes_as_one_extract_of_both(tmp_path: Path) -> None:
    """Each has some nodes of the way and the ring across the border. Only one has a certain member of the route."""
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


def test_a_box_keeps_only_the_tiles_that_meet_it(tmp_path: Path) -> None:
    world = Map()
    world.way(1, [(-1.5, 0.5), (3.5, 0.5)], highway="primary")
    west, south = at(0.5, 0.9)
    east, north = at(1.5, 0.1)
    tiles = tile(tmp_path, world, "--bbox", f"{west},{south},{east},{north}")
    assert where(tiles, "way/1") == {(0, 0), (1, 0)}


def test_a_box_that_ends_at_a_tile_edge_excludes_the_tiles_beyond_it(tmp_path: Path) -> None:
    opl = tmp_path / "equator.opl"
    cafes = ((0.001, 0.001), (0.001, -0.001), (-0.001, 0.001))
    opl.write_text("".join(f"n{i} v1 dV Tamenity=cafe x{x} y{y}\n" for i, (x, y) in enumerate(cafes, 1)))
    tiles, _ = run_tiler(opl, tmp_path / "tiles.h5", "--bbox=0,0,0.002,0.002")
    assert tiles.names == [(32768, 32767)]
    tiles, _ = run_tiler(opl, tmp_path / "tiles.h5", "--bbox=-0.002,-0.002,0,0.002")
    assert tiles.names == [(32767, 32767)]


def write_area(path: Path, form: str) -> Path:
    """Write two polygons in degrees: an L of five tiles, and a triangle in a corner of tile (2, 2)."""
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
    # The pieces are complete: they equal those of a run without a polygon.
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
        ("\0\0\0\r\n\tOSMHeader\x18\n", "area.poly`: it is not a text file"),
        ("area\n1\n 1 2\n 2 2\n 2 1\nEND\nEND\n", "no object with tags in the polygon"),
    ],
)
def test_an_unusable_polygon_file_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    area = tmp_path / "area.poly"
    if text is not None:
        area.write_text(text)
    with pytest.raises(DataError, match=message):
        tile(tmp_path, mixed_map(), "--polygon", str(area))
    assert not (tmp_path / "tiles.h5").exists()


def test_a_box_and_a_polygon_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        tile(tmp_path, mixed_map(), "--polygon", "area.poly", "--bbox", "0,0,1,1")
