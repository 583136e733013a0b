"""Every form of `maxspeed` that the OSM wiki lists, and every value of the real extracts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from geojepa_cli.tasks.maxspeed import read_maxspeed
from geojepa_cli.tasks.speed_zones import ZONES

MPH, KNOT = 1.609344, 1.852
TABLE = [
    ("50", 50, "number"),
    (" 50 ", 50, "number"),
    ("7.5", 7.5, "number"),
    ("7,5", 7.5, "number"),
    ("50 km/h", 50, "number"),
    ("50km/h", 50, "number"),
    ("50 kmh", 50, "number"),
    ("35 mph", 35 * MPH, "number"),
    ("35mph", 35 * MPH, "number"),
    ("35 MPH", 35 * MPH, "number"),
    ("10 knots", 10 * KNOT, "number"),
    ("10 kn", 10 * KNOT, "number"),
    ("5 knots", 5 * KNOT, "number"),
    ("0.5 mph", 0.5 * MPH, "number"),
    ("320", 320, "number"),
    ("walk", 7, "walk"),
    ("DE:walk", 7, "walk"),
    ("none", None, "unlimited"),
    ("DE:motorway", None, "unlimited"),
    ("signals", None, "variable"),
    ("variable", None, "variable"),
    ("PL:rural", 90, "zone"),  # 100 on dual carriageways alone
    ("ES:urban", 30, "zone"),  # since 2021, with one lane in each direction
    ("IS:living_street", 10, "zone"),
    ("RU:urban", 60, "zone"),
    ("RU:rural", 90, "zone"),
    ("RU:motorway", 110, "zone"),
    ("RU:living_street", 20, "zone"),
    ("RO:trunk", 100, "zone"),
    ("IT:urban", 50, "zone"),
    ("DE:rural", 100, "zone"),
    ("DE:living_street", 7, "zone"),
    ("BE-VLG:rural", 70, "zone"),
    ("CA-ON:urban", 50, "zone"),
    ("GB:nsl_single", 60 * MPH, "zone"),
    ("GB:nsl_dual", 70 * MPH, "zone"),
    ("UK:motorway", 70 * MPH, "zone"),
    ("DE:zone30", 30, "zone"),
    ("DE:zone:30", 30, "zone"),
    ("DE:30", 30, "zone"),
    ("FR:urban:30", 30, "zone"),
    ("GB:zone20", 20 * MPH, "zone"),
    ("zone:30", 30, "zone"),
    ("30;50", 50, "number"),
    ("50;30", 50, "number"),
    ("50; 30 mph", 50, "number"),
    ("none|120|100", 120, "number"),
    ("80 | 100", 100, "number"),
    ("signals;80", 80, "number"),
    ("none;signals", None, "unlimited"),
    ("junk;signals", None, "variable"),
    ("RU:urban;40", 60, "zone"),
    ("60|50|40", 60, "number"),
    ("none|none|100", 100, "number"),
    ("|50|", 50, "number"),
    ("walk;30", 30, "number"),
    ("60 mph|50 mph", 60 * MPH, "number"),
    ("AT:zone:30", 30, "zone"),
    ("DE:bicycle_road", 30, "zone"),
    ("FR:motorway", 130, "zone"),
    ("GB:nsl_restricted", 30 * MPH, "zone"),
    ("US:zone25", 25 * MPH, "zone"),
    ("de:urban", 50, "zone"),
    ("unlimited", None, "unlimited"),
    ("variable;60", 60, "number"),
    ("50;", 50, "number"),
    ("", None, "unreadable"),
    (";", None, "unreadable"),
    ("unposted", None, "unreadable"),
    ("fast", None, "unreadable"),
    ("50 furlongs", None, "unreadable"),
    ("0", None, "unreadable"),
    ("-50", None, "unreadable"),
    ("5050", None, "unreadable"),
    ("50 @ (wet)", None, "unreadable"),
    ("XX:urban", None, "unreadable"),
    ("urban", None, "unreadable"),
]


@pytest.mark.parametrize(("value", "kmh", "form"), TABLE)
def test_a_value_is_read_as_the_wiki_says(value: str, kmh: float | None, form: str) -> None:
    speed = read_maxspeed(value)
    assert speed.form == form
    assert speed.kmh == (None if kmh is None else pytest.approx(kmh))


def test_35_mph_is_56_kmh_as_in_the_thesis() -> None:
    assert round(read_maxspeed("35 mph").kmh or 0, 1) == 56.3


def test_every_zone_of_the_table_can_be_read() -> None:
    assert len(ZONES) > 150
    forms = {code: read_maxspeed(code.upper()).form for code in ZONES}
    assert set(forms.values()) == {"zone", "unlimited"}
    assert {code for code, form in forms.items() if form == "unlimited"} == {"de:motorway", "de:trunk"}


# Every value of the thirteen extracts, read by hand: km/h where no unit stands, and 1 mph is 1.609344 km/h.
# `unposted` (one road) names no number, and `none` no limit.
EXTRACTS: dict[str, float | None] = {
    "1": 1.0,
    "5": 5.0,
    "10": 10.0,
    "15": 15.0,
    "20": 20.0,
    "25": 25.0,
    "30": 30.0,
    "35": 35.0,
    "40": 40.0,
    "45": 45.0,
    "50": 50.0,
    "55": 55.0,
    "58": 58.0,
    "60": 60.0,
    "64": 64.0,
    "72": 72.0,
    "80": 80.0,
    "89": 89.0,
    "90": 90.0,
    "100": 100.0,
    "105": 105.0,
    "5 mph": 8.04672,
    "10 mph": 16.09344,
    "12 mph": 19.312128,
    "15 mph": 24.14016,
    "20 mph": 32.18688,
    "25 mph": 40.2336,
    "25mph": 40.2336,
    "30 mph": 48.28032,
    "30mph": 48.28032,
    "35 mph": 56.32704,
    "40 mph": 64.37376,
    "45 mph": 72.42048,
    "50 mph": 80.4672,
    "55 mph": 88.51392,
    "60 mph": 96.56064,
    "65 mph": 104.60736,
    "none": None,
    "unposted": None,
}


@pytest.mark.parametrize(("value", "kmh"), EXTRACTS.items())
def test_every_value_of_the_extracts_is_read_as_the_table_says(value: str, kmh: float | None) -> None:
    speed = read_maxspeed(value)
    assert speed.kmh == (None if kmh is None else pytest.approx(kmh))
    assert speed.form == {"none": "unlimited", "unposted": "unreadable"}.get(value, "number")


def test_no_value_of_the_extracts_is_missing_in_the_table(shared: Path) -> None:
    import osmium

    values: Counter[str] = Counter()
    for path in sorted((shared / "osm").iterdir()):
        for element in osmium.FileProcessor(path).with_filter(osmium.filter.KeyFilter("maxspeed")):
            values[element.tags["maxspeed"]] += 1
    assert sum(values.values()) > 13_000
    assert set(values) == set(EXTRACTS)
    assert values["unposted"] == 1  # all that cannot be read
