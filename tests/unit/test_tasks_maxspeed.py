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
    ("walk", 7, "walk"),
    ("DE:walk", 7, "walk"),
    ("none", None, "unlimited"),
    ("DE:motorway", None, "unlimited"),
    ("signals", None, "variable"),
    ("variable", None, "variable"),
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


def test_all_values_of_the_extracts_are_read_but_a_few_that_name_no_speed(shared: Path) -> None:
    import osmium

    values: Counter[str] = Counter()
    for path in sorted((shared / "osm").iterdir()):
        for element in osmium.FileProcessor(path).with_filter(osmium.filter.KeyFilter("maxspeed")):
            values[element.tags["maxspeed"]] += 1
    assert sum(values.values()) > 13_000
    unread = {value: count for value, count in values.items() if read_maxspeed(value).form == "unreadable"}
    assert unread == {"unposted": 1}
    # As tagged in the US: a number and `mph`; elsewhere a bare number.
    for value, count in values.items():
        speed = read_maxspeed(value)
        if speed.form == "number" and count > 100:
            number = float(value.removesuffix("mph"))
            assert speed.kmh == pytest.approx(number * (MPH if value.endswith("mph") else 1.0))
