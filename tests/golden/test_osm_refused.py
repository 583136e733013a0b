"""OSM input that is refused: forms without positions, errors in XML, damage, and files made to fill memory."""

from __future__ import annotations

import bz2
import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from osm_text import (
    BUILDING_TAG,
    CAFE,
    CAFE_TAG,
    CENTRE,
    MEMBER,
    NODES,
    REFS,
    WAY,
    node,
    osm,
    place,
    relation,
    tile_text,
)
from tiles_reader import run_tiler

from geojepa_cli import native
from geojepa_cli.errors import DataError

LONG = "x" * 1025
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "an OsmChange file": ("<osmChange version='0.6'><create/></osmChange>", "OsmChange file"),
    "changes in an extract": (osm(CAFE + "<delete>" + WAY + "</delete>"), "`<delete>` belongs to an OsmChange file"),
    "differences of Overpass": (osm(f'<action type="create">{CAFE}</action>'), "`<action>` belongs to"),
    "another version": ('<osm version="0.5"><node id="1"/></osm>', "version 0.5"),
    "GPX": ("<gpx version='1.1'></gpx>", "root is `<gpx>`"),
    "an HTML page": (gzip.compress(b"<!doctype html><html></html>"), "HTML page"),
    "a compressed PBF": (gzip.compress(b"\0\0\0\x0d\x0a\x09OSMHeader\x18\x7c"), "compressed twice"),
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
def test_a_form_without_positions_is_refused_with_the_statement_that_has_them(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        tile_text(tmp_path, REFUSED[name][0])
    assert caught.value.message.endswith("ask Overpass with `out body; >; out skel qt;`")


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
    ids=[
        "in an element",
        "no closing tag",
        "in the root",
        "in a comment",
        "gzip",
        "bzip2",
        "cut before gzip",
        "UTF-16",
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


EVENTS: dict[str, tuple[str, list[str], dict[str, object]]] = {
    "options": (osm(CAFE), ["--zoom", "19"], {"options": {"zoom": "16"}}),
    "negative coordinates": (osm(CAFE), ["--bbox=3,2,1,0"], {"options": {"bbox": "-77.90,40.76,-77.82,40.82"}}),
    "advice": ("<gpx/>", [], {"advice": "an extract is .osm.pbf, .osm, .osm.gz or .osm.bz2"}),
    "a command": (
        "<osmChange/>",
        [],
        {"command": ["osmium", "apply-changes", "EXTRACT.osm.pbf", "it's one.osm", "-o", "changed.osm.pbf"]},
    ),
    "no hint": (osm("<node/>"), [], {}),
}


@pytest.mark.parametrize("name", EVENTS)
def test_the_hint_of_an_error_event_is_data(tmp_path: Path, name: str) -> None:
    text, options, hint = EVENTS[name]
    (tmp_path / "it's one.osm").write_text(text)
    command = [native.find_binary(), "tile", "--input", "it's one.osm", "--output", "tiles.h5", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    event = json.loads(done.stderr.splitlines()[-1])
    assert {key: value for key, value in event.items() if key not in ("event", "message")} == hint
