"""`geojepa-tiler tile` on every form in which servers and editors write OSM data: same map, same result."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pytest
from osm_text import (
    AREA_M2,
    BOUNDS,
    BUILDING_TAG,
    CAFE,
    CAFE_TAG,
    CENTRE,
    GEOM,
    GEOM_WITHOUT_REFS,
    META,
    NODES,
    PLACES,
    REFS,
    WAY,
    area_of,
    kind_of,
    node,
    osm,
    place,
    tile_text,
)


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
