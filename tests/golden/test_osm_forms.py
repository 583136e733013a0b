"""`geojepa-tiler tile` on every form in which servers and editors write OSM data: same map, same result.

The map is a building (way 10 of the nodes 1 to 4) and a cafe (node 5). Its area is computed here by pyproj.
"""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import osmium
import pytest
import shapely
from pyproj import Geod
from tiles_reader import Tiles, run_tiler

from geojepa_cli.errors import DataError

PLACES = {1: (-77.8595581, 40.7967616), 2: (-77.8584595, 40.7967616), 3: (-77.8584595, 40.7959299)}
PLACES |= {4: (-77.8595581, 40.7959299), 5: (-77.8568115, 40.7946823)}
GEOD = Geod(ellps="WGS84")
AREA_M2 = abs(GEOD.geometry_area_perimeter(shapely.Polygon([PLACES[number] for number in (1, 2, 3, 4)]))[0])

CAFE_TAG = '<tag k="amenity" v="cafe"/>'
BUILDING_TAG = '<tag k="building" v="yes"/>'
REFS = "".join(f'<nd ref="{number}"/>' for number in (1, 2, 3, 4, 1))


def place(number: int) -> str:
    return f'lat="{PLACES[number][1]}" lon="{PLACES[number][0]}"'


def node(number: int, inside: str = "", more: str = "") -> str:
    return f'<node id="{number}" {place(number)} {more}>{inside}</node>'


NODES = "".join(node(number) for number in (1, 2, 3, 4))
CAFE = node(5, CAFE_TAG)
WAY = f'<way id="10">{REFS}{BUILDING_TAG}</way>'
GEOM = "".join(f'<nd ref="{number}" {place(number)}/>' for number in (1, 2, 3, 4, 1))
GEOM_WITHOUT_REFS = "".join(f"<nd {place(number)}/>" for number in (1, 2, 3, 4, 1))
BOUNDS = '<bounds minlat="40.7959299" minlon="-77.8595581" maxlat="40.7967616" maxlon="-77.8584595"/>'
CENTRE = '<center lat="40.7963457" lon="-77.8590088"/>'
META = 'version="3" timestamp="2024-01-01T00:00:00Z" changeset="7" uid="9" user="a"'


def osm(body: str, generator: str = "Overpass API", prolog: str = "", root: str = "") -> str:
    return f'{prolog}<osm version="0.6" generator="{generator}"{root}>{body}</osm>'


def tile_text(tmp_path: Path, text: str | bytes, name: str = "map.osm") -> tuple[Tiles, dict[str, dict[str, int]]]:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return run_tiler(tmp_path / name, tmp_path / "tiles.h5")


def area_of(tiles: Tiles, ref: str) -> float:
    return sum(piece.area_m2 for _, piece in tiles.all_pieces() if piece.ref == ref)


def kind_of(tiles: Tiles, ref: str) -> str:
    return {piece.kind for _, piece in tiles.all_pieces() if piece.ref == ref}.pop()


def with_attribute(attribute: str) -> str:
    """The map with an attribute on every object."""
    return osm("".join(node(number, "", attribute) for number in (1, 2, 3, 4)) + node(5, CAFE_TAG, attribute)).replace(
        "</osm>", f'<way id="10" {attribute}>{REFS}{BUILDING_TAG}</way></osm>'
    )


SAME_MAP: dict[str, str | bytes] = {
    "sorted": osm(NODES + CAFE + WAY),
    "ways first, as `out body; >; out skel qt;`": osm(CAFE + WAY + NODES),
    "meta and note": osm('<note>x</note><meta osm_base="2025-01-01T00:00:00Z"/>' + NODES + CAFE + WAY),
    # the same objects by several `out` statements
    "a bare copy after": osm(NODES + CAFE + WAY + node(5) + f'<way id="10">{REFS}</way>' + NODES),
    "a bare copy before": osm(node(5) + f'<way id="10">{REFS}</way>' + NODES + CAFE + WAY),
    "`out ids` after": osm(NODES + CAFE + WAY + '<node id="5"/><way id="10"/><node id="1"/>'),
    "`out ids` before": osm('<node id="5"/><way id="10"/><node id="1"/>' + NODES + CAFE + WAY),
    "`out tags` and `out skel`": osm(
        f'<node id="5">{CAFE_TAG}</node><way id="10">{BUILDING_TAG}</way>{NODES}{node(5)}<way id="10">{REFS}</way>'
    ),
    "`out skel` and `out tags`": osm(
        f'{NODES}{node(5)}<way id="10">{REFS}</way><node id="5">{CAFE_TAG}</node><way id="10">{BUILDING_TAG}</way>'
    ),
    "`out meta` and `out skel`": osm(
        NODES + node(5, CAFE_TAG, META) + f'<way id="10" {META}>{REFS}{BUILDING_TAG}</way>' + node(5) + NODES
    ),
    "an older version after": osm(
        NODES + node(5, CAFE_TAG, 'version="4"') + WAY + node(5, '<tag k="shop" v="x"/>', 'version="3"')
    ),
    # positions on ways
    "`out geom`": osm(f'{CAFE}<way id="10">{BOUNDS}{GEOM}{BUILDING_TAG}</way>'),
    "`out geom` and nodes": osm(f'{CAFE}{NODES}<way id="10">{BOUNDS}{GEOM}{BUILDING_TAG}</way>'),
    "`out tags geom`, without node ids": osm(f'{CAFE}<way id="10">{BOUNDS}{GEOM_WITHOUT_REFS}{BUILDING_TAG}</way>'),
    "`out geom` after `out tags`": osm(
        f'{CAFE}<way id="10">{BUILDING_TAG}</way><way id="10">{BOUNDS}{GEOM}{BUILDING_TAG}</way>'
    ),
    "positions of some references, nodes for the others": osm(
        f'{CAFE}{node(3)}{node(4)}<way id="10"><nd ref="1" {place(1)}/><nd ref="2" {place(2)}/><nd ref="3"/>'
        f'<nd ref="4"/><nd ref="1"/>{BUILDING_TAG}</way>'
    ),
    "positions on another way": osm(f'{CAFE}{WAY}<way id="11">{GEOM}</way>'),
    "`out bb` and nodes": osm(f'{CAFE}<way id="10">{BOUNDS}{REFS}{BUILDING_TAG}</way>{NODES}'),
    "`out center` and nodes": osm(f'{CAFE}<way id="10">{CENTRE}{REFS}{BUILDING_TAG}</way>{NODES}'),
    # the order within an object
    "tags before references": osm(f'{NODES}{CAFE}<way id="10">{BUILDING_TAG}{REFS}</way>'),
    "tags among references": osm(
        f'{NODES}{CAFE}<way id="10"><nd ref="1"/><nd ref="2"/>{BUILDING_TAG}<nd ref="3"/><nd ref="4"/>'
        '<nd ref="1"/></way>'
    ),
    "unknown elements and attributes": osm(
        f'<x><y z="1"><node id="77"/></y></x>{NODES}<node id="5" {place(5)} a="b"><z/>{CAFE_TAG}</node>'
        f'<way id="10" q="">{REFS}<extra><nd ref="7"/></extra>{BUILDING_TAG}</way>'
    ),
    "a reference twice in a row": osm(NODES + CAFE + WAY.replace('<nd ref="2"/>', '<nd ref="2"/><nd ref="2"/>')),
    # XML
    "comments and instructions": osm(
        NODES.replace("</node>", "<!-- <node id='9'/> --></node>") + "<?x y?>" + CAFE + WAY,
        prolog="<?xml version='1.0'?><!-- " + "licence " * 600 + "--><?style x?>",
    )
    + "\n<!-- made by a script -->\n<?end?>\n",
    "a byte order mark": b"\xef\xbb\xbf" + osm(NODES + CAFE + WAY).encode(),
    "UTF-16": osm(NODES + CAFE + WAY, prolog='<?xml version="1.0" encoding="UTF-16"?>').encode("utf-16"),
    "Latin-1": osm(NODES + CAFE + WAY, "é", '<?xml version="1.0" encoding="ISO-8859-1"?>').encode("latin-1"),
    "single quotes": osm(NODES + CAFE + WAY).replace('"', "'"),
    "CDATA": osm(NODES + CAFE + WAY + "<note><![CDATA[<node id='1'>]]></note>"),
    "a bare document type": osm(NODES + CAFE + WAY, prolog="<!DOCTYPE osm>"),
    "character references": osm(NODES + CAFE.replace("cafe", "&#99;af&#x65;") + WAY),
    "line breaks and tabs": osm(NODES + CAFE + WAY).replace("><", ">\r\n\t<"),
    "no version of the format": osm(NODES + CAFE + WAY).replace(' version="0.6"', ""),
    "attributes of the root": osm(NODES + CAFE + WAY, root=' upload="never" download="false" license="x"'),
    # packed
    "gzip": gzip.compress(osm(NODES + CAFE + WAY).encode()),
    "gzip, two members": gzip.compress(osm(NODES).encode()[:-6]) + gzip.compress((CAFE + WAY + "</osm>").encode()),
    "gzip, bytes after it": gzip.compress(osm(NODES + CAFE + WAY).encode()) + b"\0" * 600,
    "bzip2": bz2.compress(osm(NODES + CAFE + WAY).encode()),
    "bzip2, two streams": bz2.compress(osm(NODES).encode()[:-6]) + bz2.compress((CAFE + WAY + "</osm>").encode()),
    "bzip2, an empty stream between": bz2.compress(osm(NODES).encode()[:-6])
    + bz2.compress(b"")
    + bz2.compress((CAFE + WAY + "</osm>").encode()),
}
SAME_MAP |= {
    f"attribute {attribute}": with_attribute(attribute)
    for attribute in (
        'timestamp="2023-04-29T11:06:22.029Z"',
        'timestamp="2016-09-26T06:45:49+0000"',
        'timestamp="2016-09-26T06:45:49+02:00"',
        'timestamp="2016-09-26t06:45:49z"',
        'timestamp="2016-09-26"',
        'timestamp=""',
        'timestamp="yesterday"',
        'timestamp="1474872349"',
        'timestamp="9999-99-99T99:99:99Z"',
        'uid="-1"',
        'uid="x"',
        'uid="99999999999999999999"',
        'user=""',
        f'user="{"u" * 5000}"',
        'changeset="-1"',
        'changeset="new"',
        'changeset=""',
        'version=""',
        'version="-1"',
        'version="4294967295"',
        'action="modify"',
        'visible="true"',
        'visible=""',
    )
}


@pytest.mark.parametrize("text", SAME_MAP.values(), ids=SAME_MAP.keys())
def test_every_form_of_the_map_gives_its_cafe_and_its_building(tmp_path: Path, text: str | bytes) -> None:
    tiles, _ = tile_text(tmp_path, text)
    assert tiles.refs == ["node/5", "way/10"]
    assert tiles.tags("node/5") == {"amenity": "cafe"} and tiles.tags("way/10") == {"building": "yes"}
    assert (kind_of(tiles, "node/5"), kind_of(tiles, "way/10")) == ("point", "area")
    assert area_of(tiles, "way/10") == pytest.approx(AREA_M2, rel=1e-5)
    ((_, cafe),) = [(at, piece) for at, piece in tiles.all_pieces() if piece.ref == "node/5"]
    assert cafe.parts[0][1][0] == pytest.approx(PLACES[5], abs=1e-9)
    assert tiles.absent_members("way/10") == 0


def test_a_form_gives_the_bytes_of_the_plain_map(tmp_path: Path) -> None:
    tile_text(tmp_path, SAME_MAP["sorted"])
    plain = (tmp_path / "tiles.h5").read_bytes()
    for name, text in SAME_MAP.items():
        if "version" not in name and "meta" not in name:  # the version of an object is part of the file
            tile_text(tmp_path, text)
            assert (tmp_path / "tiles.h5").read_bytes() == plain, name


def relation(inside: str, number: int = 30, tags: str = "", more: str = "") -> str:
    tags = tags or '<tag k="type" v="multipolygon"/><tag k="landuse" v="retail"/>'
    return f'<relation id="{number}" {more}>{inside}{tags}</relation>'


MEMBER = '<member type="way" ref="10" role="outer"/>'
MEMBER_GEOM = f'<member type="way" ref="10" role="outer">{GEOM_WITHOUT_REFS}</member>'
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


LONG = "x" * 1025
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "a file of changes": ("<osmChange version='0.6'><create/></osmChange>", "file of changes"),
    "changes in an extract": (osm(CAFE + "<delete>" + WAY + "</delete>"), "`<delete>` belongs to a file of changes"),
    "differences of Overpass": (osm(f'<action type="create">{CAFE}</action>'), "`<action>` belongs to"),
    "another version": ('<osm version="0.5"><node id="1"/></osm>', "version 0.5"),
    "GPX": ("<gpx version='1.1'></gpx>", "root is `<gpx>`"),
    "an HTML page": (gzip.compress(b"<!doctype html><html></html>"), "HTML page"),
    "a packed PBF": (gzip.compress(b"\0\0\0\x0d\x0a\x09OSMHeader\x18\x7c"), "packed once more"),
    "only a centre": (osm(f'{CAFE}<way id="10">{CENTRE}{REFS}{BUILDING_TAG}</way>'), "out center"),
    "only a centre, of a relation": (osm(CAFE + relation(CENTRE + MEMBER)), "out center"),
    "no nodes": (osm(WAY), "no nodes"),
    "only ids": (osm('<node id="5"/><way id="10"/>'), "no node of the input has a position"),
    "changesets": ('<osm version="0.6"><changeset id="1" open="false"/></osm>', "changesets"),
    "nothing": (osm(""), "no data"),
    "a self-closing root": ('<osm version="0.6"/>', "no data"),
    "no id": (osm(f"<node {place(5)}/>"), "line 1: a node has no id"),
    "an id that is no number": (osm('<way id="x"/>'), "not a whole number"),
    "an id beyond 64 bits": (osm('<way id="9223372036854775808"/>'), "not a whole number"),
    "a version that is no number": (osm(node(5, CAFE_TAG, 'version="1.5"')), "not a whole number"),
    "a version out of range": (osm(node(5, CAFE_TAG, 'version="-7"')), "out of range"),
    "a huge exponent": (osm(f'<node id="5" lat="40e76" lon="1">{CAFE_TAG}</node>'), 'node 5: lat="40e76"'),
    "a coordinate that is no number": (osm(f'<node id="5" lat="north" lon="1">{CAFE_TAG}</node>'), 'lat="north"'),
    "not a number": (osm(f'<node id="5" lat="nan" lon="1">{CAFE_TAG}</node>'), "not a number of degrees"),
    "an empty coordinate": (osm(f'<node id="5" lat="" lon="1">{CAFE_TAG}</node>'), 'lat=""'),
    "a decimal comma": (osm(f'<node id="5" lat="40,79" lon="1">{CAFE_TAG}</node>'), 'lat="40,79"'),
    "a member of no type": (osm(relation('<member type="area" ref="1" role=""/>')), "its type is not node, way"),
    "a long value": (osm(node(5, f'<tag k="name" v="{LONG}"/>')), "more than 1024 bytes"),
    "a long key": (osm(node(5, f'<tag k="{LONG}" v="a"/>')), "more than 1024 bytes"),
    "a long role": (osm(relation(f'<member type="way" ref="1" role="{LONG}"/>')), "more than 1024 bytes"),
    "very many tags": (osm(node(5, "".join(f'<tag k="{i}" v=""/>' for i in range(10001)))), "more than 10000 tags"),
    "an unknown encoding": (osm(CAFE, prolog='<?xml version="1.0" encoding="x-mac"?>'), "encoding"),
    "not well-formed": (osm(CAFE + "<way id='1'>"), "line 1: it is not well-formed XML"),
    "an unescaped character": (osm(node(5, '<tag k="name" v="A & B"/>')), "not well-formed"),
    "a second root": (osm(CAFE) + osm(CAFE), "not well-formed"),
    "entities": (
        '<!DOCTYPE osm [<!ENTITY a "cafe"><!ENTITY b "&a;&a;&a;&a;">]>' + osm(CAFE.replace("cafe", "&b;")),
        "declares XML entities",
    ),
    "an external definition": ('<!DOCTYPE osm SYSTEM "file:///etc/passwd">' + osm(CAFE), "declares XML entities"),
    "an entity that is not declared": (osm(CAFE.replace("cafe", "&b;")), "undefined entity"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_read_is_refused_with_its_reason_and_not_as_damage(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message.replace("(", r"\(")) as caught:
        tile_text(tmp_path, text)
    assert "damaged" not in caught.value.message
    assert not (tmp_path / "tiles.h5").exists()


@pytest.mark.parametrize("name", ["only a centre", "only a centre, of a relation", "no nodes", "only ids"])
def test_the_hint_for_a_form_without_positions_is_the_statement_that_has_them(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        tile_text(tmp_path, REFUSED[name][0])
    assert str(caught.value.hint) == "out body; >; out skel qt;"


@pytest.mark.parametrize(
    "text",
    [
        osm(NODES + CAFE + WAY)[:-40],
        osm(NODES + CAFE + WAY)[:-6],
        "<osm",
        "<!-- ",
        gzip.compress(osm(NODES + CAFE + WAY).encode())[:-20],
        bz2.compress(osm(NODES + CAFE + WAY).encode())[:-20],
        gzip.compress(osm(NODES + CAFE + WAY).encode()[:-40]),
        osm(NODES + CAFE + WAY).encode("utf-16")[:-41],
    ],
)
def test_what_ends_too_early_may_be_damaged(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(DataError, match="it may be cut short or damaged"):
        tile_text(tmp_path, text)


def test_the_remark_of_a_server_is_a_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    remark = 'runtime error: Query timed out in "query" at line 4 after 25 seconds.'
    tiles, _ = tile_text(tmp_path, osm(NODES + CAFE + WAY + f"<remark> {remark} </remark>"))
    assert tiles.refs == ["node/5", "way/10"]
    shown = " ".join(capfd.readouterr().err.split())
    assert shown.count(remark) == 1 and "may be incomplete" in shown


def test_areas_of_overpass_are_left_out_with_a_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    area = f'<area id="3600000001">{BUILDING_TAG}</area>'
    tiles, _ = tile_text(tmp_path, osm(NODES + CAFE + WAY + area * 2))
    assert tiles.refs == ["node/5", "way/10"]
    assert "have no geometry and are left out: 2" in " ".join(capfd.readouterr().err.split())


def repeated(path: Path, opener: Callable[..., object], parts: tuple[str, str, str], times: int) -> Path:
    """Writes the middle part many times."""
    before, middle, after = (part.encode() for part in parts)
    with opener(path, "wb") as file:  # type: ignore[attr-defined]
        file.write(before)
        block = middle * (1 + (1 << 20) // len(middle))
        for _ in range(times):
            file.write(block)
        file.write(after)
    return path


MIB_BOMBS = {
    "one attribute": (('<osm version="0.6"><node id="1" lat="1" lon="1" x="', "a", '"/></osm>'), "longer than 1 MiB"),
    "one name": (('<osm version="0.6"><', "a", "/></osm>"), "longer than 1 MiB"),
    "one comment": (("<!--", "a", '--><osm version="0.6"></osm>'), "longer than 1 MiB"),
    "one key": (('<osm version="0.6"><node id="1"><tag k="', "&#97;", '"/></node></osm>'), "longer than 1 MiB"),
    "nesting": (('<osm version="0.6">', "<a>", ""), "more than 16 deep"),
    "tags": (('<osm version="0.6"><node id="1">', '<tag k="a" v="b"/>', "</node></osm>"), "more than 10000 tags"),
    "references": (('<osm version="0.6"><way id="1">', '<nd ref="1"/>', "</way></osm>"), "more than 64 MiB of XML"),
    "blanks": (('<osm version="0.6">', " ", "</osm>"), "no data"),
}


@pytest.mark.parametrize("name", MIB_BOMBS)
def test_a_plain_file_that_fills_memory_is_refused(tmp_path: Path, name: str) -> None:
    parts, message = MIB_BOMBS[name]
    path = repeated(tmp_path / "map.osm", open, parts, 66)
    with pytest.raises(DataError, match=message):
        run_tiler(path, tmp_path / "tiles.h5", "--threads", "1")


def test_ever_new_names_fill_no_memory(tmp_path: Path) -> None:
    names = "".join(f'<a{number} b{number}=""/>' for number in range(700_000))
    with pytest.raises(DataError, match="names and tags take more than 16 MiB"):
        tile_text(tmp_path, f'<osm version="0.6">{names}</osm>')


@pytest.mark.parametrize(("suffix", "opener"), [("gz", gzip.open), ("bz2", bz2.open)])
@pytest.mark.parametrize("name", ["one attribute", "blanks"])
def test_a_packed_file_that_expands_without_end_is_refused(
    tmp_path: Path, suffix: str, opener: Callable[..., object], name: str
) -> None:
    path = repeated(tmp_path / f"map.osm.{suffix}", opener, MIB_BOMBS[name][0], 80)
    message = "longer than 1 MiB" if name == "one attribute" else "more than 100 times its size"
    with pytest.raises(DataError, match=message):
        run_tiler(path, tmp_path / "tiles.h5", "--threads", "1")
