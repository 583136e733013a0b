"""Objects, relations, tags and the layout of the file that `geojepa-tiler tile` writes for small maps."""

from __future__ import annotations

from pathlib import Path

import h5py
import shapely
from map_builder import Map, X, Y, at, box, square, the, tile, where
from tiles_reader import run_tiler


def test_a_node_and_a_way_of_one_id_are_two_objects(tmp_path: Path) -> None:
    world = Map()
    world.node((0.5, 0.5), number=77, amenity="bench")
    world.way(77, [(0.1, 0.1), (0.2, 0.2)], highway="path")
    assert set(tile(tmp_path, world).pieces((X, Y))) == {"node/77", "way/77"}


def test_a_relation_keeps_the_members_that_the_input_contains(tmp_path: Path) -> None:
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


def test_a_multipolygon_with_an_incomplete_ring_consists_of_its_members(tmp_path: Path) -> None:
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


def test_a_way_keeps_the_nodes_that_the_input_contains(tmp_path: Path) -> None:
    world = Map()
    world.way(1, [(0.2, 0.2), 9999, (0.4, 0.2), (0.4, 0.4)], highway="path")
    tiles = tile(tmp_path, world)
    assert len(the(tiles, "way/1").lines()[0]) == 3
    assert tiles.absent_members("way/1") == 1


def test_boundaries_and_restrictions_are_not_entities(tmp_path: Path) -> None:
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


def test_the_tag_filter_drops_keys_and_objects_without_a_kept_key(tmp_path: Path) -> None:
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


def test_columns_are_contiguous_aligned_and_may_be_empty(tmp_path: Path) -> None:
    world = Map()
    world.node((0.5, 0.5), amenity="bench")
    tile(tmp_path, world)
    with h5py.File(tmp_path / "tiles.h5") as file:
        assert file.attrs["kind"] == b"tiles" and file.attrs["schema_version"] == 3
        assert file["member/object"].shape == (0,) and len(file["role/text"]) == 1
        names: list[str] = []
        file.visit(names.append)
        for item in (file[name] for name in names):
            if isinstance(item, h5py.Dataset):
                assert item.chunks is None and item.compression is None
                assert item.size == 0 or item.id.get_offset() % 64 == 0
        assert {h5py.h5g.get_objinfo(file.id, name.encode()).mtime for name in names} == {0}
