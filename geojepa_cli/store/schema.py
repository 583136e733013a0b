"""The layout of `tiles.h5` and `processed.h5`.

Generated from native/schema.yaml by tools/generate_schema.py. Do not edit.
"""

from __future__ import annotations

from typing import NamedTuple

VERSION = 3
ALIGNMENT = 64

OSM_TYPE = {"node": 0, "way": 1, "relation": 2}
KIND = {"point": 0, "line": 1, "area": 2, "relation": 3}
ROLE = {"point": 0, "line": 1, "outer": 2, "inner": 3}
TOKEN = {"entity": 0, "boundary": 1, "restriction": 2}


class Column(NamedTuple):
    """A dataset: element types (a file has one of them), values per row, child table, and files."""

    dtypes: tuple[str, ...]
    width: int
    csr: str
    files: tuple[str, ...]


COLUMNS: dict[str, Column] = {
    "tile/z": Column(("u8",), 1, "", ("tiles", "processed")),
    "tile/x": Column(("u32",), 1, "", ("tiles", "processed")),
    "tile/y": Column(("u32",), 1, "", ("tiles", "processed")),
    "tile/east_m": Column(("f64",), 1, "", ("tiles", "processed")),
    "tile/north_m": Column(("f64",), 1, "", ("tiles", "processed")),
    "tile/pieces": Column(("u32", "u64"), 1, "piece", ("tiles", "processed")),
    "object/osm_type": Column(("u8",), 1, "", ("tiles", "processed")),
    "object/osm_id": Column(("i64",), 1, "", ("tiles", "processed")),
    "object/version": Column(("u32",), 1, "", ("tiles", "processed")),
    "object/kind": Column(("u8",), 1, "", ("tiles", "processed")),
    "object/token": Column(("u8",), 1, "", ("tiles", "processed")),
    "object/absent_members": Column(("u32",), 1, "", ("tiles",)),
    "object/tags": Column(("u32", "u64"), 1, "tag", ("tiles", "processed")),
    "object/members": Column(("u32", "u64"), 1, "member", ("tiles",)),
    "piece/object": Column(("u32",), 1, "", ("tiles", "processed")),
    "piece/area_m2": Column(("f32",), 1, "", ("tiles", "processed")),
    "piece/length_m": Column(("f32",), 1, "", ("tiles", "processed")),
    "piece/covers_tile": Column(("u8",), 1, "", ("tiles", "processed")),
    "piece/parts": Column(("u32", "u64"), 1, "part", ("tiles", "processed")),
    "piece/box_centre": Column(("u16", "f32"), 2, "", ("processed",)),
    "piece/box_side": Column(("f32",), 3, "", ("processed",)),
    "piece/edges": Column(("u32", "u64"), 1, "edge", ("processed",)),
    "part/role": Column(("u8",), 1, "", ("tiles", "processed")),
    "part/nodes": Column(("u32", "u64"), 1, "node", ("tiles", "processed")),
    "node/lonlat": Column(("i32",), 2, "", ("tiles",)),
    "node/xy": Column(("u16", "f32"), 2, "", ("processed",)),
    "edge/ends": Column(("u32",), 2, "", ("processed",)),
    "member/relation": Column(("u32",), 1, "", ("processed",)),
    "member/object": Column(("u32",), 1, "", ("tiles", "processed")),
    "member/role": Column(("u32",), 1, "", ("tiles", "processed")),
    "role/text": Column(("u32", "u64"), 1, "role/text_utf8", ("tiles", "processed")),
    "role/text_utf8": Column(("u8",), 1, "", ("tiles", "processed")),
    "tag/vocab": Column(("u32",), 1, "", ("tiles", "processed")),
    "vocab/key": Column(("u32", "u64"), 1, "vocab/key_utf8", ("tiles", "processed")),
    "vocab/key_utf8": Column(("u8",), 1, "", ("tiles", "processed")),
    "vocab/value": Column(("u32", "u64"), 1, "vocab/value_utf8", ("tiles", "processed")),
    "vocab/value_utf8": Column(("u8",), 1, "", ("tiles", "processed")),
    "vocab/count": Column(("u32",), 1, "", ("tiles", "processed")),
}
