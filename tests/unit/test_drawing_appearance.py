"""Appearance of OSM elements in drawn images: car parks, and the version of the tables."""

from __future__ import annotations

import hashlib

import pytest

from geojepa_cli.config.drawing import APPEARANCE
from geojepa_cli.drawing import paints, surfaces
from geojepa_cli.drawing.appearance import AREA, LINE, POINT, paints_of

DIGESTS = {2: "9518c2493127c6c649cf208ee8f6963c30adecca205fa4fc630ac232982778aa"}  # by version
RULES = [  # tags of elements whose appearance follows from more than a table
    *({"building": kind, "height": height} for kind in ("yes", "house", "retail") for height in ("", "9", "40 ft")),
    {"building": "office", "building:levels": "3"},
    {"building": "shed", "layer": "-1"},
    {"building": "parking", "parking": "multi-storey"},
    {"building": "no", "parking": "underground"},
    *({"highway": kind, "lanes": "2", "surface": "gravel"} for kind in ("motorway", "service", "steps")),
    *({"highway": "primary", key: value} for key in ("bridge", "tunnel") for value in ("yes", "no")),
    {"highway": "track", "width": "500"},
    {"highway": "primary", "place": "square"},
    {"landuse": "farmland"},
    {"landuse": "farmland", "crop": "wheat"},
    {"leisure": "pitch", "sport": "tennis"},
    {"leisure": "pitch", "surface": "sand"},
    {"amenity": "parking", "surface": "concrete"},
    {"waterway": "river", "width": "30"},
    {"waterway": "stream", "tunnel": "culvert"},
    {"natural": "tree"},
    {"natural": "wood", "leisure": "park"},
    {"landuse": "industrial", "location": "underground"},
    {"landuse": "industrial", "indoor": "yes"},
]


@pytest.mark.parametrize(
    "tags",
    [
        {"building": "parking", "amenity": "parking", "parking": "multi-storey"},
        {"building": "yes", "amenity": "parking", "parking": "multi-storey"},
        {"building": "apartments", "parking": "underground"},
    ],
)
def test_a_building_with_a_car_park_has_a_roof(tags: dict[str, str]) -> None:
    assert paints_of(tags, AREA) == paints_of({"building": tags["building"]}, AREA) != ()


@pytest.mark.parametrize("building", [{}, {"building": "no"}])
@pytest.mark.parametrize("parking", ["underground", "multi-storey"])
def test_a_level_of_a_car_park_is_hidden(building: dict[str, str], parking: str) -> None:
    tags = {"amenity": "parking", **building}
    assert paints_of(tags, AREA) != ()
    assert paints_of({**tags, "parking": parking}, AREA) == ()


def test_another_appearance_has_another_version() -> None:
    """If this fails, increase `APPEARANCE`, so that images get new ids. Then store the new digest."""
    tables = [
        (module.__name__.rpartition(".")[2], name, sorted(value) if isinstance(value, set) else value)
        for module in (paints, surfaces)
        for name, value in sorted(vars(module).items())
        if name.isupper() and not name.startswith("_")
    ]
    assert len(tables) > 15
    rules = [paints_of(tags, kind) for tags in RULES for kind in (POINT, LINE, AREA)]
    assert hashlib.sha256(repr((tables, rules)).encode()).hexdigest() == DIGESTS[APPEARANCE]
