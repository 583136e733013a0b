"""Table of the legal speed limits of zones, by country. Tags such as `maxspeed=RU:urban` refer to these limits.

The table has the general limits for cars, in the notation of `maxspeed`: km/h if there is no unit. The limits follow
the wiki page "Default speed limits" (https://wiki.openstreetmap.org/wiki/Default_speed_limits). If a limit also depends
on lanes, season or vehicle, the table has the limit for an ordinary road in good conditions.
"""

from __future__ import annotations

# Countries whose bare zone numbers (`GB:zone20`) are miles per hour.
MPH_COUNTRIES = frozenset({"GB", "US", "IM", "JE", "GG", "LR", "PR"})
ALIASES = {"UK": "GB"}

_COLUMNS = ("urban", "rural", "trunk", "motorway", "living_street")
# `trunk` includes roads for motor vehicles only; `-`: the law has no limit for this zone
_TABLE = """
AR     40 110 120 130 -
AT     50 100 100 130 walk
AU     50 100 -   -   -
BE     50 90  120 120 20
BE-BRU 30 70  120 120 20
BE-VLG 50 70  120 120 20
BE-WAL 50 90  120 120 20
BG     50 90  120 140 20
BR     40 60  80  110 -
BY     60 90  90  110 20
CA     50 80  -   100 -
CH     50 80  100 120 20
CZ     50 90  110 130 20
DE     50 100 none none walk
DK     50 80  80  130 15
EE     50 90  -   -   20
ES     30 90  90  120 20
FI     50 80  100 120 20
FR     50 80  110 130 20
GR     50 90  110 130 20
HR     50 90  110 130 walk
HU     50 90  110 130 20
IE     50 80  100 120 -
IS     50 90  -   -   10
IT     50 90  110 130 30
JP     60 60  -   100 -
KZ     60 100 110 140 20
LI     50 80  -   -   20
LT     50 90  120 130 20
LU     50 90  90  130 20
LV     50 90  110 -   20
MD     50 90  110 110 20
NL     50 80  100 100 15
NO     50 80  80  110 walk
NZ     50 100 -   -   -
PH     30 80  -   100 -
PL     50 90  120 140 20
PT     50 90  100 120 20
RO     50 90  100 130 20
RS     50 80  100 130 10
RU     60 90  110 110 20
SE     50 70  90  110 walk
SI     50 90  110 130 10
SK     50 90  130 130 20
TR     50 90  110 120 20
UA     50 90  110 130 20
UZ     70 100 -   110 30
ZA     60 100 120 120 -
"""
# zones that only some countries have, and limits in miles per hour
_OTHERS = {
    "AT:bicycle_road": "30",
    "AT:motorroad": "100",
    "BE:cyclestreet": "30",
    "BG:motorroad": "120",
    "CH:motorroad": "100",
    "CZ:motorroad": "110",
    "CZ:pedestrian_zone": "20",
    "DE:bicycle_road": "30",
    "DE:pedestrian_zone": "walk",
    "FI:motorroad": "100",
    "GB:urban": "30 mph",
    "GB:rural": "60 mph",
    "GB:nsl_restricted": "30 mph",
    "GB:nsl_single": "60 mph",
    "GB:nsl_dual": "70 mph",
    "GB:motorway": "70 mph",
    "HU:motorroad": "110",
    "IE:national": "80",
    "JP:express": "100",
    "JP:nsl": "60",
    "LT:motorroad": "120",
    "NL:motorroad": "100",
    "PL:expressway": "120",
    "PT:motorroad": "100",
    "RS:motorroad": "100",
    "SK:motorroad": "130",
}


def _zones() -> dict[str, str]:
    zones = dict(_OTHERS)
    for line in _TABLE.split("\n"):
        country, *limits = line.split() or [""]
        zones.update(
            {f"{country}:{zone}": limit for zone, limit in zip(_COLUMNS, limits, strict=False) if limit != "-"}
        )
    return {code.lower(): limit for code, limit in zones.items()}


ZONES: dict[str, str] = _zones()
