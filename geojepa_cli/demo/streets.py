"""Street network of the demo city: streets, intersections, bridges, traffic signals and speed limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from geojepa_cli.demo.answers import Cell
from geojepa_cli.demo.plan import URBAN, District, Plan
from geojepa_cli.demo.sheet import Sheet, Tags, clear

OFFSETS = (0.26, 0.73)  # positions of the two streets in a tile, before a random offset is added
RAIL_OFFSET = 0.49  # position of the railway in its column of tiles
BRIDGE_REACH = 0.085  # half length of a bridge over the river or the motorway, in tiles
STREAM_REACH = 0.04  # half length of a bridge over a stream, in tiles
NAMES = (
    "Oak", "Maple", "Cedar", "Elm", "Pine", "Walnut", "Chestnut", "Willow", "Birch", "Poplar", "Laurel", "Magnolia",
    "Dogwood", "Holly", "Juniper", "Hickory", "Church", "College", "Market", "Mill", "Park", "Spring", "Lake",
    "Hill", "Ridge", "Valley", "Meadow", "Orchard", "Garden", "Forest", "Union", "Liberty", "Franklin", "Madison",
    "Monroe", "Jackson", "Lincoln", "Tryon", "Trade", "Graham", "Morehead", "Independence", "Providence", "Sharon",
    "Carmel",
)  # fmt: skip

# class of street -> district -> speed limit in miles per hour
SPEEDS: dict[str, dict[District, int]] = {
    "primary": dict(zip(District, (35, 45, 45, 45, 55, 55, 45, 45), strict=True)),
    "secondary": dict(zip(District, (35, 35, 40, 45, 55, 50, 35, 45), strict=True)),
    "tertiary": dict(zip(District, (25, 30, 35, 35, 45, 45, 25, 35), strict=True)),
    "residential": dict.fromkeys(District, 25),
}
SIGNED = {"primary": 0.97, "secondary": 0.93, "tertiary": 0.75, "residential": 0.4}  # share with a `maxspeed` tag
THROUGH = ("primary", "secondary", "tertiary")  # classes that cross the river and the motorway on bridges


@dataclass
class Street:
    """A straight street of the demo city.

    Attributes:
        vertical: True for a street along a column of tiles (north to south), False for one along a row (west to east).
        band: index of the column of tiles (vertical street) or of the row of tiles (horizontal street).
        at: x position of a vertical street, or y position of a horizontal one.
        grade: OSM class of the street, such as `primary`.
        name: name of the street.
        tiles: row indices (vertical street) or column indices (horizontal street) of the tiles in which the street
            exists.
        crossings: bridges of the street, as (position of the bridge along the street, half length of the bridge).
        stations: dict from position along the street to the id of the node at this position.
    """

    vertical: bool
    band: int
    at: float
    grade: str
    name: str
    tiles: set[int] = field(default_factory=set)
    crossings: list[tuple[float, float]] = field(default_factory=list)
    stations: dict[float, int] = field(default_factory=dict)

    def cell(self, along: int) -> Cell:
        return (self.band, along) if self.vertical else (along, self.band)

    def point(self, along: float) -> tuple[float, float]:
        return (self.at, along) if self.vertical else (along, self.at)

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yields the first and the last tile of every continuous section of the street."""
        for _, stretch in groupby(enumerate(sorted(self.tiles)), key=lambda item: item[1] - item[0]):
            tiles = [tile for _, tile in stretch]
            yield tiles[0], tiles[-1]


@dataclass
class Network:
    """All streets of the demo city.

    Attributes:
        vertical: streets along columns of tiles.
        horizontal: streets along rows of tiles.
        streams: dict from tile (column, row) to the y position of the stream in this tile. Streets cross streams on
            bridges.
    """

    vertical: list[Street]
    horizontal: list[Street]
    streams: dict[Cell, float]

    def in_tile(self, cell: Cell) -> tuple[list[Street], list[Street]]:
        column, row = cell
        return (
            [street for street in self.vertical if street.band == column and row in street.tiles],
            [street for street in self.horizontal if street.band == row and column in street.tiles],
        )


def plan_network(plan: Plan, districts: dict[Cell, District], streams: dict[Cell, float]) -> Network:
    """Returns all streets, with the bridges of each street and the tiles in which the street exists."""
    vertical = list(_streets(plan, True, plan.columns))
    horizontal = list(_streets(plan, False, plan.rows))
    for street in vertical:
        _settle(street, plan.rows, districts, along=plan.river, across=plan.motorway)
        street.crossings += [
            (y, STREAM_REACH) for (column, row), y in streams.items() if column == street.band and row in street.tiles
        ]
    for street in horizontal:
        _settle(street, plan.columns, districts, along=plan.motorway, across=plan.river)
    return Network(vertical, horizontal, streams)


def _streets(plan: Plan, vertical: bool, bands: int) -> Iterator[Street]:
    axis = "column" if vertical else "row"
    for band in range(bands):
        for k, offset in enumerate(OFFSETS):
            lot = plan.random("street", axis, band, k)
            at = band + offset + 0.06 * (lot.random() - 0.5)
            grade = _grade(band + (0 if vertical else 2), k)
            kind = {"primary": "Boulevard", "secondary": "Road", "tertiary": "Avenue"}.get(grade, "Street")
            name = f"{NAMES[lot.randrange(len(NAMES))]} {kind}"
            yield Street(vertical, band, at, grade, name)


def _grade(band: int, k: int) -> str:
    if k == 0 and band % 3 == 0:
        return "primary" if band % 6 == 0 else "secondary"
    return "tertiary" if k == 1 and band % 4 == 2 else "residential"


def _settle(
    street: Street,
    length: int,
    districts: dict[Cell, District],
    along: Callable[[float], float],
    across: Callable[[float], float],
) -> None:
    """Sets the tiles in which a street exists, and its bridge over the river or the motorway.

    Args:
        street: street to change.
        length: number of tiles along the street.
        districts: district of every tile.
        along: course of the river or motorway that runs parallel to the street. The function takes a position along the
            street, and returns the x (vertical street) or y (horizontal street) of the centreline at this position. The
            street has a gap in tiles in which it would be too close to the centreline.
        across: course of the river or motorway that crosses the street. The function takes `street.at`, and returns the
            position of the crossing along the street. A main street (class in `THROUGH`) gets a bridge there, if it
            exists in all tiles near the crossing. Every other street has a gap in these tiles.
    """
    for tile in range(length):
        near = min(abs(street.at - along(tile + step / 10)) for step in range(-1, 12))
        if _admitted(street.grade, districts[street.cell(tile)]) and near > 0.17:
            street.tiles.add(tile)
    crossing = clear(across(street.at))
    reach = 0.2 if street.grade in THROUGH else 0.12
    touched = set(range(math.floor(crossing - reach), math.floor(crossing + reach) + 1))
    if street.grade in THROUGH and touched <= street.tiles:
        street.crossings.append((crossing, BRIDGE_REACH))
    else:
        street.tiles -= touched


def _admitted(grade: str, district: District) -> bool:
    if district in URBAN:
        return True
    if district is District.FARM:
        return grade != "residential"
    return district is District.WOOD and grade == "primary"


def draw_network(
    plan: Plan, sheet: Sheet, districts: dict[Cell, District], network: Network
) -> list[tuple[float, int]]:
    """Adds all streets, with their intersections, traffic signals and pedestrian crossings.

    Returns:
        List of level crossings (places where a street crosses the railway), from north to south. Each is (y position,
        node id).
    """
    _intersections(plan, sheet, districts, network)
    level_crossings = []
    for street in network.horizontal:
        if plan.rail_column in street.tiles:
            x = plan.rail_column + RAIL_OFFSET
            node = sheet.node(x, street.at, {"railway": "level_crossing", "crossing:barrier": "full"})
            street.stations[x] = node
            level_crossings.append((street.at, node))
    for street in [*network.vertical, *network.horizontal]:
        for first, last in street.runs():
            _draw_run(plan, sheet, districts, street, first, last)
    return sorted(level_crossings)


def _intersections(plan: Plan, sheet: Sheet, districts: dict[Cell, District], network: Network) -> None:
    for cell, district in districts.items():
        down, across = network.in_tile(cell)
        for first in down:
            for second in across:
                node = sheet.node(first.at, second.at)
                first.stations[second.at] = second.stations[first.at] = node
                lot = plan.random("signal", *cell, first.at, second.at)
                through = (first.grade in THROUGH) + (second.grade in THROUGH)
                chance = {0: 0.0, 1: 0.08, 2: 0.75}[through] + (0.35 if district is District.DOWNTOWN else 0.0)
                if lot.random() < chance:
                    _signals(sheet, node, first, second, district is District.DOWNTOWN, lot.random())
                elif through == 1:
                    sheet.crossing(node, {"highway": "stop"})


def _signals(sheet: Sheet, node: int, first: Street, second: Street, busy: bool, lot: float) -> None:
    """Adds traffic signals to an intersection of two streets, and pedestrian crossings next to the intersection."""
    sheet.signal(node, {"highway": "traffic_signals"} | ({"traffic_signals": "signal"} if lot < 0.3 else {}))
    for street, other in ((first, second), (second, first)):
        if street.grade == "residential" and not busy:
            continue
        along = other.at + (0.035 if lot < 0.5 else -0.035)
        crossing = sheet.node(*street.point(along))
        street.stations[along] = crossing
        if busy or lot < 0.6:
            sheet.signal(crossing, {"highway": "crossing", "crossing": "traffic_signals"})
        else:
            sheet.crossing(crossing, {"highway": "crossing", "crossing": "marked"})
        if busy and lot < 0.4:
            _footway_across(sheet, street, along, crossing)


def _footway_across(sheet: Sheet, street: Street, along: float, crossing: int) -> None:
    """Adds a footway across a street, tagged as a crossing with signals.

    In the correct labels, the footway counts as one traffic signal.
    """
    ends = [Street(street.vertical, street.band, street.at + side, "", "").point(along) for side in (-0.014, 0.014)]
    way = [sheet.node(*ends[0]), crossing, sheet.node(*ends[1])]
    tags = {"highway": "footway", "footway": "crossing", "crossing:signals": "yes", "crossing:markings": "zebra"}
    sheet.path(way, tags)
    sheet.ledger.signal([(math.floor(ends[0][0]), math.floor(ends[0][1]))])


def _draw_run(plan: Plan, sheet: Sheet, districts: dict[Cell, District], street: Street, first: int, last: int) -> None:
    """Adds the OSM ways of one continuous section of a street.

    A new way starts where the speed limit changes, at both ends of a bridge, and every four tiles.
    """
    start, end = first + 0.07, last + 0.93
    bridges = [(clear(at - reach), clear(at + reach)) for at, reach in street.crossings if start < at < end]
    stations = {along: node for along, node in street.stations.items() if start < along < end}
    for along in [start, end, *(edge for bridge in bridges for edge in bridge)]:
        stations[along] = sheet.node(*street.point(along))
    places = sorted(stations)

    def kind(interval: tuple[float, float]) -> tuple[bool, int | None, int]:
        middle = sum(interval) / 2
        on_bridge = any(a <= middle <= b for a, b in bridges)
        return on_bridge, _limit(plan, districts, street, math.floor(middle)), math.floor(middle) // 4

    for (on_bridge, mph, _), group in groupby(pairwise(places), key=kind):
        intervals = list(group)
        nodes = [stations[intervals[0][0]], *(stations[interval[1]] for interval in intervals)]
        sheet.road(nodes, _tags(plan, street, districts[street.cell(math.floor(intervals[0][0]))]), mph, on_bridge)


def _limit(plan: Plan, districts: dict[Cell, District], street: Street, tile: int) -> int | None:
    """Returns the speed limit of a street in one tile, in miles per hour.

    Returns None if the street has no `maxspeed` tag in this tile. Each street is divided into stretches of four tiles.
    A random choice for each stretch decides whether all of its tiles have the tag or none of them.
    """
    axis = "column" if street.vertical else "row"
    lot = plan.random("sign", axis, street.at, tile // 4)
    return SPEEDS[street.grade][districts[street.cell(tile)]] if lot.random() < SIGNED[street.grade] else None


def _tags(plan: Plan, street: Street, district: District) -> Tags:
    grade = street.grade
    if grade == "residential" and district is District.INDUSTRIAL:
        grade = "unclassified"
    tags = {"highway": grade, "name": street.name}
    lot = plan.random("surface", street.at, street.vertical)
    if grade in ("primary", "secondary"):
        tags |= {"lanes": "4" if grade == "primary" else "2", "surface": "asphalt"}
    if district is District.DOWNTOWN:
        tags |= {"sidewalk": "both", "lit": "yes"}
        if grade == "residential" and lot.random() < 0.5:
            tags["oneway"] = "yes"
    elif grade == "residential" and lot.random() < 0.4:
        tags["surface"] = "asphalt" if lot.random() < 0.8 else "concrete"
    return tags
