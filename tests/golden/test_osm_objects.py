"""Members, roles, deleted objects, repeated tags, positions on ways and notations of numbers in OSM input."""

from __future__ import annotations

from pathlib import Path

import osmium
import pytest
from osm_text import (
    AREA_M2,
    BOUNDS,
    BUILDING_TAG,
    CAFE,
    CAFE_TAG,
    CENTRE,
    GEOD,
    GEOM,
    MEMBER,
    MEMBER_GEOM,
    NODES,
    PLACES,
    REFS,
    WAY,
    area_of,
    kind_of,
    node,
    osm,
    place,
    relation,
    tile_text,
)
from tiles_reader import run_tiler

RELATIONS = {
    "members with positions and the way": osm(NODES + f'<way id="10">{REFS}</way>' + relation(MEMBER_GEOM)),
    "members with positions alone": osm(relation(BOUNDS + MEMBER_GEOM)),
    "members with positions, the way without nodes": osm(f'<way id="10">{REFS}</way>' + relation(MEMBER_GEOM)),
    "the way has the positions": osm(f'<way id="10">{GEOM}</way>' + relation(MEMBER)),
    "two ways by their positions": osm(
        relation(
            f'<member type="way" ref="10" role="outer"><nd {place(1)}/><nd {place(2)}/><nd {place(3)}/></member>'
            f'<member type="way" ref="11" role="outer"><nd {place(3)}/><nd {place(4)}/><nd {place(1)}/></member>'
        )
    ),
    "a bare copy of the relation": osm(
        NODES + f'<way id="10">{REFS}</way>' + relation(MEMBER) + f'<relation id="30">{MEMBER}</relation>'
    ),
    "`out tags` and `out skel`": osm(
        NODES + f'<way id="10">{REFS}</way>' + relation("") + f'<relation id="30">{MEMBER}</relation>'
    ),
    "a centre and nodes": osm(NODES + f'<way id="10">{REFS}</way>' + relation(CENTRE + MEMBER)),
    "a member twice": osm(NODES + f'<way id="10">{REFS}</way>' + relation(MEMBER + MEMBER)),
}


@pytest.mark.parametrize("text", RELATIONS.values(), ids=RELATIONS.keys())
def test_every_form_of_a_multipolygon_gives_its_area(tmp_path: Path, text: str) -> None:
    tiles, _ = tile_text(tmp_path, text)
    assert tiles.refs == ["relation/30"] and kind_of(tiles, "relation/30") == "area"
    assert area_of(tiles, "relation/30") == pytest.approx(AREA_M2, rel=1e-5)
    assert tiles.tags("relation/30") == {"type": "multipolygon", "landuse": "retail"}
    assert tiles.absent_members("relation/30") == 0


def test_a_route_has_the_positions_of_its_members(tmp_path: Path) -> None:
    stop = f'<member type="node" ref="5" {place(5)} role="stop"/>'
    path = f'<member type="way" ref="10" role=""><nd {place(1)}/><nd {place(3)}/></member>'
    tags = '<tag k="type" v="route"/><tag k="route" v="bus"/>'
    tiles, _ = tile_text(tmp_path, osm(relation(stop + path, tags=tags)))
    ((_, piece),) = tiles.all_pieces()
    assert [role for role, _ in piece.parts] == ["point", "line"]
    assert piece.length_m == pytest.approx(GEOD.line_length(*zip(PLACES[1], PLACES[3], strict=True)), rel=1e-5)
    assert tiles.absent_members("relation/30") == 0


@pytest.mark.parametrize(
    ("role", "ring"),
    [(role, True) for role in ("", "outer", "inner", "exclave", "enclave", "Outer", "OUTER", " outer", "outer ", " ")]
    + [
        (role, False)
        for role in (
            "subarea",
            "label",
            "admin_centre",
            "outline",
            "part",
            "main_stream",
            "building",
            "outer1",
            "innter",
        )
    ],
)
def test_only_ring_roles_make_rings(tmp_path: Path, role: str, ring: bool) -> None:
    body = NODES + f'<way id="10">{REFS}</way>' + relation(MEMBER.replace("outer", role))
    tiles, counts = tile_text(tmp_path, osm(body))
    assert kind_of(tiles, "relation/30") == ("area" if ring else "relation")
    assert area_of(tiles, "relation/30") == pytest.approx(AREA_M2 if ring else 0, rel=1e-5)
    assert counts["repaired"] == ({} if ring else {"multipolygon with broken rings, kept as its members": 1})


@pytest.mark.parametrize("kind", ["multipolygon", "boundary"])
@pytest.mark.parametrize("role", ["subarea", "outline", "part"])
def test_members_of_other_roles_take_no_area_away(tmp_path: Path, role: str, kind: str) -> None:
    """The other member covers the western half; by the even-odd rule it would leave the eastern one."""
    middle = (PLACES[1][0] + PLACES[2][0]) / 2
    inner = {6: (middle, PLACES[1][1]), 7: (middle, PLACES[3][1])}
    nodes = "".join(f'<node id="{number}" lat="{lat}" lon="{lon}"/>' for number, (lon, lat) in inner.items())
    half = "".join(f'<nd ref="{number}"/>' for number in (1, 6, 7, 4, 1))
    other = f'<member type="way" ref="11" role="{role}"/><member type="node" ref="5" role="label"/>'
    tags = f'<tag k="type" v="{kind}"/><tag k="boundary" v="administrative"/>'
    body = f'{NODES}{nodes}{node(5)}<way id="10">{REFS}</way><way id="11">{half}</way>'
    tiles, _ = tile_text(tmp_path, osm(body + relation(MEMBER + other, tags=tags)))
    assert area_of(tiles, "relation/30") == pytest.approx(AREA_M2, rel=1e-5)


def test_an_absent_member_that_is_no_ring_is_no_reason_for_a_broken_area(tmp_path: Path) -> None:
    body = NODES + f'<way id="10">{REFS}</way>' + relation(MEMBER + '<member type="way" ref="99" role="subarea"/>')
    tiles, counts = tile_text(tmp_path, osm(body))
    assert kind_of(tiles, "relation/30") == "area" and counts["repaired"] == {}
    assert tiles.absent_members("relation/30") == 1


DELETED = {
    "JOSM": ('action="delete"', 'version="3"'),
    "JOSM, upper case": ('action="DELETE"', ""),
    "history": ('visible="false"', 'version="3"'),
    "both": ('visible="false" action="delete"', ""),
}


@pytest.mark.parametrize(("mark", "version"), DELETED.values(), ids=DELETED.keys())
def test_deleted_objects_are_left_out_and_counted(tmp_path: Path, mark: str, version: str) -> None:
    gone = f"{mark} {version}"
    body = "".join(node(number, "", gone) for number in (1, 2, 3, 4)) + CAFE
    body += f'<way id="10" {gone}>{REFS}{BUILDING_TAG}</way>' + relation(MEMBER, more=gone)
    tiles, counts = tile_text(tmp_path, osm(body, "JOSM"))
    assert tiles.refs == ["node/5"]
    assert counts["dropped"] == {
        "node marked as deleted": 4,
        "way marked as deleted": 1,
        "relation marked as deleted": 1,
    }


def test_new_objects_of_an_editor_are_read(tmp_path: Path) -> None:
    body = (NODES + CAFE + WAY).replace('id="', 'action="modify" visible="true" id="-').replace('ref="', 'ref="-')
    tiles, counts = tile_text(tmp_path, osm(body, "JOSM", root=' upload="never"'))
    assert tiles.refs == ["node/-5", "way/-10"] and counts["dropped"] == {}
    assert area_of(tiles, "way/-10") == pytest.approx(AREA_M2, rel=1e-5)


def test_of_a_history_the_last_version_stays_and_deleted_objects_go(tmp_path: Path) -> None:
    versions = [
        node(5, '<tag k="shop" v="x"/>', 'version="1"'),
        '<node id="5" version="2" visible="false"/>',
        node(5, CAFE_TAG, 'version="3"'),
        node(9 - 4, "", "").replace('id="5"', 'id="9" version="1"').replace("></node>", f">{CAFE_TAG}</node>"),
        '<node id="9" version="2" visible="false"/>',
    ]
    tiles, counts = tile_text(tmp_path, osm("".join(versions)))
    assert tiles.refs == ["node/5"] and tiles.tags("node/5") == {"amenity": "cafe"}
    assert counts["dropped"] == {"older version of a node": 3, "node marked as deleted": 1}


def test_a_tag_that_stands_twice_counts_once(tmp_path: Path) -> None:
    twice = '<tag k="highway" v="traffic_signals"/>' * 2
    speeds = '<tag k="maxspeed" v="30 mph"/><tag k="maxspeed" v="50 mph"/><tag k="highway" v="primary"/>'
    many = "".join(f'<tag k="k{number % 50}" v="v"/>' for number in range(100))
    line = '<nd ref="1"/><nd ref="3"/>'
    body = NODES + node(5, twice) + f'<way id="10">{REFS}{BUILDING_TAG * 3}</way><way id="11">{line}{speeds}</way>'
    body += f'<way id="12">{line}{many}</way>' + relation(MEMBER, tags='<tag k="type" v="route"/>' * 2)
    tiles, _ = tile_text(tmp_path, osm(body))
    rows = range(len(tiles.columns["vocab/count"]))
    counts = {(tiles.text("vocab/key", i), tiles.text("vocab/value", i)): tiles.columns["vocab/count"][i] for i in rows}
    assert counts.pop(("highway", "traffic_signals")) == counts.pop(("building", "yes")) == 1
    # one key with two values is two tags, as before
    assert counts.pop(("maxspeed", "30 mph")) == counts.pop(("maxspeed", "50 mph")) == 1
    assert counts.pop(("type", "route")) == counts.pop(("highway", "primary")) == 1
    assert counts == {(f"k{number}", "v"): 1 for number in range(50)}


@pytest.mark.parametrize("keep", ["all", "tagged"])
def test_a_pbf_with_locations_on_ways_has_its_geometry(tmp_path: Path, keep: str) -> None:
    (tmp_path / "plain.osm").write_text(osm(NODES + CAFE + WAY))
    located = osmium.FileProcessor(str(tmp_path / "plain.osm")).with_locations()
    with osmium.SimpleWriter(osmium.io.File(str(tmp_path / "map.osm.pbf"), "pbf,locations_on_ways=true")) as writer:
        for item in located:
            if keep == "all" or not item.is_node() or item.tags:
                writer.add(item)
    tiles, _ = run_tiler(tmp_path / "map.osm.pbf", tmp_path / "tiles.h5")
    assert tiles.refs == ["node/5", "way/10"]
    assert area_of(tiles, "way/10") == pytest.approx(AREA_M2, rel=1e-5)


COORDINATES = {
    "40.7946823": 407946823,
    "+40.7946823": 407946823,
    "40.79468234": 407946823,
    "40.79468235": 407946824,  # rounded half away from zero
    "040.7946823000000000000000000000000": 407946823,
    "4.07946823e1": 407946823,
    "407946823E-7": 407946823,
    ".5": 5000000,
    "7": 70000000,
    "-0.00000005": -1,
    "1e-30": 0,
}


@pytest.mark.parametrize(("text", "expected"), COORDINATES.items())
def test_numbers_are_read_in_every_notation(tmp_path: Path, text: str, expected: int) -> None:
    tiles, _ = tile_text(tmp_path, osm(f'<node id="5" lat="{text}" lon="1">{CAFE_TAG}</node>'))
    assert tiles.columns["node/lonlat"].ravel().tolist() == [10000000, expected]
