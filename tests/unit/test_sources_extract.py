"""Extracts are recognised by their content, only whole ones are taken, and their box is that of all their parts."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import osmium
import pytest

from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.hints import Invocation, invocation
from geojepa_cli.sources.extract import (
    Extract,
    check_box,
    extract_bounds,
    format_box,
    header_boxes,
    inspect_extract,
)

XML = b"""<?xml version='1.0' encoding='UTF-8'?>
<osm version="0.6"><node id="1" lat="1" lon="2"><tag k="amenity" v="cafe"/></node></osm>
"""
NODE = '<node id="1" lat="40.795" lon="-77.857"/>'


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (XML, ".osm"),
        (gzip.compress(XML, mtime=0), ".osm.gz"),
        (bz2.compress(XML), ".osm.bz2"),
        (b"\xef\xbb\xbf" + XML, ".osm"),
    ],
)
@pytest.mark.parametrize("name", ["x.osm", "x.osm.pbf", "x"])
def test_xml_is_recognised_by_content_whatever_its_name(tmp_path: Path, data: bytes, suffix: str, name: str) -> None:
    extract = inspect_extract(written(tmp_path / name, data))
    assert extract.suffix == suffix
    assert extract.bytes == len(data)


def test_a_pbf_is_recognised_by_its_content(shared: Path, tmp_path: Path) -> None:
    data = (shared / "osm" / "harrisburg.osm.pbf").read_bytes()
    assert inspect_extract(written(tmp_path / "x.osm", data)).suffix == ".osm.pbf"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "HTML page"),
        (b"\n<HTML><HEAD>", "HTML page"),
        (gzip.compress(b"<!doctype html><html></html>", mtime=0), "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git-lfs"),
        (b'{"message": "not found"}', "JSON"),
        (b"PK\x03\x04" + b"x" * 50, "zip"),
        (b"\xff\xe0\x04o5m2", "o5m"),
        (b"<osmChange version='0.6'></osmChange>", "osmChange file"),
        (b"<gpx></gpx>", "root element `<gpx>`"),
        (b"id,name\n1,x\n", "neither"),
        (bytes(100), "neither"),
        (XML[:-30], "truncated"),
        (gzip.compress(XML, mtime=0)[:-20], "cannot be decompressed"),
        (bz2.compress(XML)[:-20], "cannot be decompressed"),
        (gzip.compress(XML[:-30], mtime=0), "truncated"),
        (b"<?xml version='1.0'?><osm version='0.6'></osm>", "no data"),
        (b"\x00\x00\x00\x0d\x0a\x09OSMHeader\x18\x7c" + b"x" * 20, "truncated PBF"),
        (b"\x00\x00\x00\x0d\x0a\x09OSMH", "truncated PBF"),
    ],
)
def test_what_is_not_a_whole_extract_is_named_with_a_hint(tmp_path: Path, data: bytes, message: str) -> None:
    path = written(tmp_path / "x.osm.pbf", data)
    with pytest.raises(DataError, match=message) as caught:
        inspect_extract(path)
    assert "x.osm.pbf" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent.osm.pbf", "does not exist"), (".", "is a directory"), ("/dev/null", "`/dev/null` is not a file")],
)
def test_a_path_that_is_not_a_file_is_a_usage_error(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        inspect_extract(tmp_path / name)


def test_xml_longer_than_a_chunk_is_read_to_its_end(tmp_path: Path) -> None:
    nodes = b"".join(b'<node id="%d" lat="1" lon="2"/>\n' % i for i in range(1, 60_000))
    whole = b"<?xml version='1.0'?><osm>\n" + nodes + b"</osm>\n"
    assert inspect_extract(written(tmp_path / "x.osm", whole)).suffix == ".osm"
    with pytest.raises(DataError, match="truncated"):
        inspect_extract(written(tmp_path / "x.osm", whole[:-1000] + b"<node id="))


def extract(tmp_path: Path, body: str, prolog: str = "") -> Extract:
    return inspect_extract(written(tmp_path / "x.osm", f'{prolog}<osm version="0.6">{body}</osm>'.encode()))


def bounds(west: object, south: object, east: object, north: object) -> str:
    return f'<bounds minlat="{south}" minlon="{west}" maxlat="{north}" maxlon="{east}" origin="x"/>'


HERE, THERE = (-77.86, 40.79, -77.85, 40.8), (-77.82, 40.79, -77.81, 40.8)


@pytest.mark.parametrize(
    ("body", "boxes"),
    [
        ("", []),
        (bounds(*HERE), [HERE]),
        (bounds(*HERE) + bounds(*THERE), [HERE, THERE]),
        (bounds("x", 1, 2, 3) + bounds(*HERE), [HERE]),
        (bounds(-77.86, 40.8, -77.85, 40.79), []),
        (bounds(-190, 40.79, -77.85, 40.8), []),
        ('<bounds box="1,2,3,4"/><bound/>' + bounds(*HERE), [HERE]),
        (bounds(179.5, -17, -179.5, -16), [(179.5, -17, 180, -16), (-180, -17, -179.5, -16)]),
        (f'<way id="3">{bounds(*HERE)}</way>', []),
        ("<note>" + bounds(*HERE) + "</note>", []),
    ],
    ids=[
        "none",
        "one",
        "two",
        "not numbers",
        "upside down",
        "off the globe",
        "other forms",
        "antimeridian",
        "way",
        "note",
    ],
)
def test_the_boxes_of_an_extract_are_all_its_bounds(
    tmp_path: Path, body: str, boxes: list[tuple[float, float, float, float]]
) -> None:
    assert header_boxes(extract(tmp_path, body + NODE)) == boxes


def test_a_box_is_accepted_where_it_meets_any_of_the_bounds(tmp_path: Path) -> None:
    two = extract(tmp_path, bounds(*HERE) + bounds(*THERE) + NODE)
    for box in (HERE, THERE, (-77.9, 40.7, -77.8, 40.9)):
        check_box(two, box)
    with pytest.raises(DataError, match=r"-77\.86,40\.79,-77\.85,40\.8 and -77.82,40.79,-77.81,40.8") as caught:
        check_box(two, (-77.84, 40.79, -77.83, 40.8))  # between them
    assert "--bbox=-77.86,40.79,-77.81,40.8" in str(caught.value.hint)
    assert extract_bounds(two) == (-77.86, 40.79, -77.81, 40.8)


@pytest.mark.parametrize(
    "body",
    [
        '<node id="1" lat="40.79" lon="-77.86" timestamp="x"/><node id="2" lat="40.8" lon="-77.85"/>',
        '<way id="1"><nd ref="1" lat="40.79" lon="-77.86"/><nd ref="2" lat="40.8" lon="-77.85"/></way>',
        '<relation id="1"><member type="node" ref="1" lat="40.79" lon="-77.86" role=""/>'
        '<member type="way" ref="2" role=""><nd lat="40.8" lon="-77.85"/></member></relation>',
    ],
    ids=["nodes", "ways", "members"],
)
def test_without_bounds_the_box_is_the_one_around_all_positions(tmp_path: Path, body: str) -> None:
    assert extract_bounds(extract(tmp_path, body + '<node id="9" lat="95" lon="x"/>')) == HERE


@pytest.mark.parametrize("on_ways", [False, True])
def test_a_pbf_without_a_box_has_the_one_around_its_positions(tmp_path: Path, on_ways: bool) -> None:
    body = '<node id="1" lat="40.79" lon="-77.86"/><node id="2" lat="40.8" lon="-77.85"/>'
    (tmp_path / "x.osm").write_text(f'<osm version="0.6">{body}<way id="3"><nd ref="1"/><nd ref="2"/></way></osm>')
    items = osmium.FileProcessor(str(tmp_path / "x.osm")).with_locations()
    with osmium.SimpleWriter(osmium.io.File(str(tmp_path / "x.osm.pbf"), "pbf,locations_on_ways=true")) as writer:
        for item in items:
            if not (on_ways and item.is_node()):
                writer.add(item)
    assert extract_bounds(inspect_extract(tmp_path / "x.osm.pbf")) == pytest.approx(HERE)


@pytest.mark.parametrize(
    ("box", "text"),
    [
        (HERE, "-77.86,40.79,-77.85,40.8"),
        ((-77.8573608, 40.7950981, -77.8573607, 40.7950982), "-77.8573608,40.7950981,-77.8573607,40.7950982"),
        ((1.0, 2.0, 1.0, 2.0), "0.9999,1.9999,1.0001,2.0001"),
        ((180.0, 90.0, 180.0, 90.0), "179.9999,89.9999,180,90"),
        ((0.0, 0.0, 1e-7, 1e-7), "0,0,0.0000001,0.0000001"),
    ],
)
def test_a_box_is_printed_with_all_decimals_and_never_empty(box: tuple[float, float, float, float], text: str) -> None:
    assert format_box(box) == text


@pytest.mark.parametrize(
    "text",
    [
        XML.decode() + "<!-- written by a script -->\n<?end?>",
        XML.decode().replace("<osm", "<!-- " + "licence " * 2000 + "--><osm"),
        XML.decode().replace("<osm", "<!DOCTYPE osm><osm"),
        XML.decode().replace("</osm>", "</osm >"),
        XML.decode().replace("<node", '<way id="3"><tag k="note" v="html &lt;html>"/></way><!-- </osm> --><node'),
        '<osm version="0.6"><way id="1"><nd ref="2" lat="1" lon="2"/></way></osm>',
    ],
    ids=["comment after", "comment before", "document type", "blank in a tag", "comment within", "positions on a way"],
)
def test_legal_xml_is_taken(tmp_path: Path, text: str) -> None:
    assert inspect_extract(written(tmp_path / "x.osm", text.encode())).suffix == ".osm"


def test_utf_16_is_taken(tmp_path: Path) -> None:
    text = XML.decode().replace("UTF-8", "UTF-16")
    assert inspect_extract(written(tmp_path / "x.osm", text.encode("utf-16"))).suffix == ".osm"
    with pytest.raises(DataError, match="truncated"):
        inspect_extract(written(tmp_path / "x.osm", text[:-10].encode("utf-16")))


OPEN = b'<osm version="0.6"><node id="1" lat="1" lon="1" x="'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (OPEN + b"a" * (3 << 20) + b'"/></osm>', "more than 1 MiB"),
        (XML[:-7] + b'<node id="2" x="' + b"a" * (3 << 20) + b'"/></osm>', "more than 1 MiB"),
        (gzip.compress(OPEN + b"a" * (3 << 20) + b'"/></osm>', mtime=0), "more than 1 MiB"),
        (b'<osm version="0.6">' + b"<a>" * 100, "more than 16 deep"),
        (b'<osm version="0.6">' + b"<bounds/>" * (1 << 19), "no node, way or relation in its first 4 MiB"),
        (b'<!DOCTYPE osm [<!ENTITY a "b">]>' + XML[39:], "declares XML entities"),
        (b'<!DOCTYPE osm SYSTEM "http://x/osm.dtd">' + XML[39:], "declares XML entities"),
        (b'<osm version="0.5"><node id="1" lat="1" lon="1"/></osm>', "version 0.5"),
        (b"<osm version='0.6'><node", "truncated"),
        (b"<!-- ", "truncated"),
        (b'<osm version="0.6"><way id="1"><nd ref="2"/></way></osm>', "other elements with coordinates"),
        (gzip.compress(b"\0\0\0\x0d\x0a\x09OSMHeader\x18\x7c", mtime=0), "compressed PBF"),
        (b"<osm version='0.6'>&a;</osm>", "not well-formed"),
    ],
)
def test_what_could_fill_memory_or_is_not_read_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        inspect_extract(written(tmp_path / "x.osm", data))
    assert caught.value.hint


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_a_packed_file_that_expands_beyond_every_osm_file_is_refused(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    # streams one after the other are one file
    data = compress(XML[:-7]) + 14 * compress(b"<x/>\n" * (1 << 20)) + compress(b"</osm>")
    with pytest.raises(DataError, match="more than 100 times its size") as caught:
        inspect_extract(written(tmp_path / "x.osm", data))
    assert "--keep" in str(caught.value.hint)


def test_a_form_of_overpass_without_positions_is_named_by_the_statement_that_has_them(tmp_path: Path) -> None:
    text = (
        '<osm version="0.6" generator="Overpass API 0.7"><way id="1"><center lat="1" lon="2"/><nd ref="2"/></way></osm>'
    )
    with pytest.raises(DataError) as caught:
        inspect_extract(written(tmp_path / "x.osm", text.encode()))
    assert str(caught.value.hint) == "ask Overpass with `out body; >; out skel qt;`"


def test_a_file_of_changes_is_named_with_the_command_that_applies_it(tmp_path: Path) -> None:
    path = written(tmp_path / "a b.osc", b"<osmChange version='0.6'><create/></osmChange>")
    with (
        invocation(Invocation.parse(["fetch", "--pbf", str(path), "--name", "x"])),
        pytest.raises(DataError, match="osmChange file") as caught,
    ):
        inspect_extract(path)
    apply, again = str(caught.value.hint).split(" && ")
    assert apply == f"osmium apply-changes EXTRACT.osm.pbf '{path}' -o changed.osm.pbf"
    assert again == "geojepa fetch --name x --pbf changed.osm.pbf"
