"""Appearance of OSM elements in the demo city's aerial images."""

from __future__ import annotations

from geojepa_cli.demo.plan import District
from geojepa_cli.demo.sheet import Tags
from geojepa_cli.drawing.paints import (
    AREAS,
    CROPS,
    FIELDS,
    FLAT_ROOFS,
    HOUSES,
    LINES,
    POINTS,
    ROADS,
    ROOFS,
    Paint,
    road_paint,
)

GROUND: dict[District, Paint] = {
    District.DOWNTOWN: Paint(0, (148, 146, 140), 8),
    District.RESIDENTIAL: Paint(0, (118, 126, 92), 18),
    District.COMMERCIAL: Paint(0, (142, 140, 122), 10),
    District.INDUSTRIAL: Paint(0, (150, 142, 124), 10),
    District.FARM: Paint(0, (128, 130, 86), 10),
    District.WOOD: Paint(0, (86, 100, 66), 20),
    District.PARK: Paint(0, (112, 128, 84), 12),
    District.AIRFIELD: Paint(0, (132, 136, 98), 7),
}


def paint_of(tags: Tags, element_id: int) -> Paint | None:
    """Returns the appearance of an OSM element, or None if images do not show the element.

    The colour of roofs and fields depends on the element's id.
    """
    if "building" in tags:
        return _roof(tags, element_id)
    if "highway" in tags and "place" not in tags:
        return _road(tags)
    if tags.get("landuse") == "farmland":
        return Paint(11, CROPS.get(tags.get("crop", ""), FIELDS[element_id % len(FIELDS)]), 7)
    for table in (AREAS, LINES, POINTS):
        for pair, paint in table.items():
            if tags.get(pair[0]) == pair[1]:
                return paint
    return None


def _roof(tags: Tags, element_id: int) -> Paint:
    small = tags["building"] in HOUSES and "building:levels" not in tags
    roofs = ROOFS if small else FLAT_ROOFS
    height_m = 3.0 if small else 4.0 + 0.6 * min(int(tags.get("building:levels", "2")), 25)
    return Paint(50, roofs[element_id * 7 % len(roofs)], 3, height_m=height_m)


def _road(tags: Tags) -> Paint | None:
    if tags["highway"] not in ROADS:
        return None
    return road_paint(*ROADS[tags["highway"]], "bridge" in tags)
