"""Chooses the appearance of an OSM element in a drawn image from its tags."""

from __future__ import annotations

import re
from collections.abc import Mapping

from geojepa_cli.drawing.paints import CROPS, FIELDS, FLAT_ROOFS, ROOFS, Colour, Paint, road_paint
from geojepa_cli.drawing.surfaces import (
    AREAS,
    HEIGHTS_M,
    LINES,
    PITCHES,
    POINTS,
    ROADS,
    SMALL_BUILDINGS,
    SURFACES,
    TILED_ROOFS,
    TREES,
    Pairs,
)

POINT, LINE, AREA = 0, 1, 2  # kinds of elements, as in the column `object/kind`
_TABLES: dict[int, Pairs] = {POINT: POINTS, LINE: LINES, AREA: AREAS}
_PLAIN_KEYS = {key for table in _TABLES.values() for key, _ in table}
_NUMBER = re.compile(r"\s*(\d{1,4}(?:\.\d{1,4})?)\s*(m|ft|')?\s*")
_FOOT_M = 0.3048
_LANE_M, _SHOULDER_M = 3.2, 1.0
_LEVEL_M, _ROOF_M = 3.0, 1.5
_MAX_HEIGHT_M, _MAX_WIDTH_M = 150.0, 60.0
_HIDDEN = {"underground", "indoor"}
_UNROOFED = {"no", "building_passage"}

#: Keys of the tags that change the appearance of an element. All others can be left out.
KEYS = frozenset(_PLAIN_KEYS) | {
    *("building", "building:levels", "height", "highway", "place", "bridge", "tunnel", "layer", "location", "indoor"),
    *("width", "lanes", "surface", "crop", "sport", "parking"),
}


def paints_of(tags: Mapping[str, str], kind: int) -> tuple[Paint, ...]:
    """Returns the possible appearances of an OSM element. The tuple is empty if images do not show the element.

    Each element has one of the appearances; which one is left to chance, for example the colour of a roof.

    Args:
        tags: tags of the element. Only tags with a key in `KEYS` are used.
        kind: `POINT`, `LINE` or `AREA`.
    """
    if kind not in _TABLES or _is_hidden(tags):  # a relation without an area shows only its members
        return ()
    if kind == AREA and tags.get("building", "no") != "no":
        return _roofs(tags)
    if "highway" in tags and kind != POINT:
        return _road(tags, kind)
    if kind == AREA and tags.get("landuse") == "farmland":
        colours = (CROPS[tags["crop"]],) if tags.get("crop") in CROPS else (*FIELDS, *CROPS.values())
        return tuple(Paint(11, colour, 8) for colour in colours)
    if kind == AREA and tags.get("leisure") == "pitch":
        return _pitch(tags)
    if kind == POINT and tags.get("natural") == "tree":
        return TREES
    table = _TABLES[kind]
    found = [table[pair] for pair in tags.items() if pair in table]
    if not found:
        return ()
    return (_with_surface(max(found, key=lambda paint: paint.layer), tags, kind),)


def _is_hidden(tags: Mapping[str, str]) -> bool:
    """Returns True if an element lies under the ground, inside a building, or under a roof."""
    if tags.get("location") in _HIDDEN or tags.get("indoor", "no") != "no":
        return True
    if tags.get("parking") in ("underground", "multi-storey") and tags.get("building", "no") == "no":
        return True  # the level of a car park; a building with this tag is above the ground, and has a roof
    if tags.get("tunnel", "no") not in _UNROOFED:
        return True
    return tags.get("layer", "0").startswith("-") and "building" in tags


def _roofs(tags: Mapping[str, str]) -> tuple[Paint, ...]:
    kind = tags["building"]
    levels = _number(tags.get("building:levels"))
    known = _metres(tags.get("height")) or (levels * _LEVEL_M + _ROOF_M if levels else None)
    height_m = min(known or HEIGHTS_M.get(kind, 6.5), _MAX_HEIGHT_M)
    small = kind in SMALL_BUILDINGS and height_m < 14.0
    colours: tuple[Colour, ...]
    if kind == "yes":  # of any use, so of any roof
        colours = (*ROOFS, *TILED_ROOFS[:2], *FLAT_ROOFS)
    else:
        colours = (*ROOFS, *TILED_ROOFS) if small else (*FLAT_ROOFS, *ROOFS[:2])
    return tuple(Paint(50, colour, 4, height_m=height_m) for colour in colours)


def _road(tags: Mapping[str, str], kind: int) -> tuple[Paint, ...]:
    if tags["highway"] not in ROADS or "place" in tags:
        return ()
    usual_m, colour = ROADS[tags["highway"]]
    lanes = _number(tags.get("lanes"))
    width_m = _metres(tags.get("width")) or (lanes * _LANE_M + _SHOULDER_M if lanes else usual_m)
    colour = SURFACES.get(tags.get("surface", ""), colour)
    bridge = tags.get("bridge", "no") != "no"
    if kind == AREA:
        return (Paint(38 if bridge else 28, colour, 4),)
    return (road_paint(min(max(width_m, 1.0), _MAX_WIDTH_M), colour, bridge),)


def _pitch(tags: Mapping[str, str]) -> tuple[Paint, ...]:
    usual = AREAS["leisure", "pitch"]
    colours = PITCHES.get(tags.get("sport", ""), (usual.colour,))
    if tags.get("surface") in SURFACES:
        colours = (SURFACES[tags["surface"]],)
    return tuple(Paint(usual.layer, colour, usual.roughness) for colour in colours)


def _with_surface(paint: Paint, tags: Mapping[str, str], kind: int) -> Paint:
    """Returns a copy of an appearance with the colour or width that the tags give.

    Car parks get the colour of the tag `surface`. Waterways get the width of the tag `width`.
    """
    colour, width_m = paint.colour, paint.width_m
    if tags.get("surface") in SURFACES and tags.get("amenity") == "parking":
        colour = SURFACES[tags["surface"]]
    if kind == LINE and "waterway" in tags:
        width_m = min(_metres(tags.get("width")) or width_m, _MAX_WIDTH_M)
    return Paint(paint.layer, colour, paint.roughness, width_m, paint.height_m)


def _number(text: str | None) -> float | None:
    """Returns the positive number in a text, or None if the text is not a positive number."""
    found = _NUMBER.fullmatch(text or "")
    return (float(found[1]) or None) if found and found[2] is None else None


def _metres(text: str | None) -> float | None:
    """Converts a length such as `12`, `12.5 m` or `40 ft` to metres. Returns None for any other text."""
    found = _NUMBER.fullmatch(text or "")
    if found is None:
        return None
    return (float(found[1]) * (_FOOT_M if found[2] in ("ft", "'") else 1.0)) or None
