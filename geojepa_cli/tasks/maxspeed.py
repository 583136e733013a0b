"""Parses speed limits: values of the OSM key `maxspeed`, in every notation of the wiki page "Key:maxspeed"."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from geojepa_cli.tasks.speed_zones import ALIASES, MPH_COUNTRIES, ZONES

KMH_PER_MPH = 1.609344
KMH_PER_KNOT = 1.852
WALK_KMH = 7.0  # walking pace (German "Schrittgeschwindigkeit"): courts assume 4 to 7, routers 5 to 7
LARGEST_KMH = 500.0  # the fastest trains run at 430; a larger value is a typing error

Form = Literal["number", "walk", "zone", "unlimited", "variable", "unreadable"]

_NUMBER = re.compile(r"(\d+(?:[.,]\d+)?)\s*([a-z/.]*)")
_UNITS = {
    **dict.fromkeys(("", "km/h", "kmh", "kph", "kmph", "km/hr", "kmh.", "km"), 1.0),
    **dict.fromkeys(("mph", "mp/h", "mi/h", "mph.", "mls/h"), KMH_PER_MPH),
    **dict.fromkeys(("knots", "knot", "kn", "kt", "kts"), KMH_PER_KNOT),
}
_NUMBERED_ZONE = re.compile(r"(?:([a-z]{2})(?:-[a-z]{2,3})?:)?(?:[a-z_]*[a-z_:])?(\d+)")
_UNLIMITED = frozenset({"none", "no", "unlimited"})
_VARIABLE = frozenset({"signals", "variable", "variable_sign", "dynamic"})
_WALK = frozenset({"walk", "walking", "walking_pace", "walkpace", "foot"})


class Speed(NamedTuple):
    """A parsed `maxspeed` value.

    Attributes:
        kmh: limit in km/h; None if the value has no number (`none`, `signals`) or cannot be parsed.
        form: notation of the value, such as `number` or `zone`. For a list, this is the notation of the item with the
            highest limit.
    """

    kmh: float | None
    form: Form


def read_maxspeed(value: str) -> Speed:
    """Parses a `maxspeed` value. Of a list (separated by `;`, or by `|` for lanes), returns the highest limit.

    Notations: `50`, `50 km/h`, `35 mph`, `35mph`, `10 knots`, `walk`, `none`, `signals`, `variable`,
    `RU:urban`, `BE-VLG:rural`, `GB:nsl_dual`, `DE:zone30`, `DE:zone:30`, `DE:30`, `FR:urban:30`, and lists of them.
    """
    speeds = [_read_item(item.strip().lower()) for item in re.split(r"[;|]", value)]
    limits = [speed for speed in speeds if speed.kmh is not None]
    if limits:
        return max(limits, key=lambda speed: speed.kmh or 0.0)
    return next((speed for speed in speeds if speed.form != "unreadable"), speeds[0])


def _read_item(text: str) -> Speed:
    if text in _UNLIMITED:
        return Speed(None, "unlimited")
    if text in _VARIABLE:
        return Speed(None, "variable")
    if text in _WALK or (":" in text and text.rpartition(":")[2] in _WALK):
        return Speed(WALK_KMH, "walk")
    number = _NUMBER.fullmatch(text)
    if number:
        factor = _UNITS.get(number[2])
        return _checked(float(number[1].replace(",", ".")) * factor if factor else 0.0, "number")
    return _read_zone(text)


def _read_zone(text: str) -> Speed:
    country, colon, zone = text.partition(":")
    country = ALIASES.get(country.upper(), country.upper())
    code = f"{country}:{zone}".lower()
    limit = ZONES.get(code) or ZONES.get(f"{country.partition('-')[0]}:{zone}".lower())
    if colon and limit:
        speed = _read_item(limit)
        return Speed(speed.kmh, "zone" if speed.kmh is not None else speed.form)
    numbered = _NUMBERED_ZONE.fullmatch(text)
    if numbered and (numbered[1] or text.startswith("zone")):
        factor = KMH_PER_MPH if country.partition("-")[0] in MPH_COUNTRIES else 1.0
        return _checked(float(numbered[2]) * factor, "zone")
    return Speed(None, "unreadable")


def _checked(kmh: float, form: Form) -> Speed:
    return Speed(kmh, form) if 0.0 < kmh <= LARGEST_KMH else Speed(None, "unreadable")
