"""Adds the demo city's large features: river, motorway, railway, streams, park and airfield."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby, pairwise

from geojepa_cli.demo.answers import Cell, Point
from geojepa_cli.demo.plan import URBAN, District, Plan
from geojepa_cli.demo.sheet import Sheet, clear
from geojepa_cli.demo.streets import BRIDGE_REACH, RAIL_OFFSET, Network

RIVER_HALF = 0.055  # half width of the river, in tiles
CARRIAGEWAY = 0.022  # distance of each carriageway from the motorway's centreline, in tiles
STREAM_Y = 0.5  # position of a stream in its tile, from the north border


def draw_river(plan: Plan, sheet: Sheet) -> None:
    """Adds the river: water areas, one for every four rows of tiles, and waterway lines along the river's centre."""
    ys = [0.04, *(row + 0.25 * k + 0.02 for row in range(plan.rows) for k in range(4) if row + k > 0), plan.rows - 0.04]
    left, right, middle = ([sheet.node(plan.river(y) + side, y) for y in ys] for side in (-RIVER_HALF, RIVER_HALF, 0.0))
    for start in range(0, len(ys) - 1, 16):
        end = min(start + 16, len(ys) - 1)
        bank = left[start : end + 1] + right[start : end + 1][::-1]
        sheet.way([*bank, bank[0]], {"natural": "water", "water": "river", "name": "Sugar River"})
    for start in range(0, len(ys) - 1, 32):
        sheet.way(middle[start : start + 33], {"waterway": "river", "name": "Sugar River"})


def draw_river_paths(plan: Plan, sheet: Sheet, districts: dict[Cell, District], network: Network) -> None:
    """Adds cycle paths along the river in urban districts, and foot bridges over the river.

    In some rows of tiles, no street crosses the river. Some of these rows get a foot bridge.
    """
    for row in range(plan.rows):
        column = int(plan.river(row + 0.5))
        lot = plan.random("river path", row)
        if districts[column, row] in URBAN:
            ys = [row + 0.08, row + 0.3, row + 0.55, row + 0.78, row + 0.92]
            points = [(clear(plan.river(y) + 0.1), y) for y in ys]
            sheet.path([sheet.node(*point) for point in points], {"highway": "cycleway", "surface": "asphalt"})
        crossed = any(int(at) == column for street in network.in_tile((column, row))[1] for at, _ in street.crossings)
        if not crossed and lot.random() < 0.45:
            draw_foot_bridge(sheet, row + 0.5 + 0.05 * lot.random(), plan.river, BRIDGE_REACH, lot.random() < 0.5)


def draw_foot_bridge(sheet: Sheet, y: float, middle: Callable[[float], float], reach: float, cycling: bool) -> None:
    """Adds a foot bridge over the river, from west to east, with a path at both ends.

    Args:
        sheet: OSM elements of the city, to which the bridge and the paths are added.
        y: y position of the bridge on the plan.
        middle: function that returns the x position of the river's centreline at a given y.
        reach: half length of the bridge, in tiles.
        cycling: True if the bridge and the paths are also for bicycles.
    """
    x = middle(y)
    xs = [clear(x + step * reach) for step in (-2.0, -1.0, 1.0, 2.0)]
    nodes = [sheet.node(at, y) for at in xs]
    tags = {"highway": "path", "foot": "designated", "bicycle": "designated"} if cycling else {"highway": "footway"}
    sheet.path(nodes[:2], dict(tags))
    sheet.path(nodes[1:3], tags | {"bridge:structure": "beam"}, bridge=True)
    sheet.path(nodes[2:], dict(tags))


def draw_motorway(plan: Plan, sheet: Sheet) -> None:
    """Adds the motorway: two carriageways, each with a bridge over the river.

    The speed limit is lower near the city centre.
    """
    xs = [0.05, *(column + 0.25 * k + 0.13 for column in range(plan.columns) for k in range(4)), plan.columns - 0.05]
    west_of_river = [x < plan.river(plan.motorway(x)) for x in xs]
    last_west = max(i for i, west in enumerate(west_of_river) if west)
    for side in (-CARRIAGEWAY, CARRIAGEWAY):
        nodes = [sheet.node(x, clear(plan.motorway(x) + side)) for x in xs]

        def kind(i: int) -> tuple[bool, int, int]:
            far = abs(xs[i] - plan.centre[0]) / plan.columns
            return abs(i - last_west) <= 1, 55 if far < 0.15 else 65 if far < 0.35 else 70, int(xs[i]) // 6

        for (bridge, mph, _), group in groupby(range(len(xs) - 1), key=kind):
            intervals = list(group)
            stretch = nodes[intervals[0] : intervals[-1] + 2]
            tags = {"highway": "motorway", "ref": "I 485", "oneway": "yes", "lanes": "3", "surface": "concrete"}
            sheet.road(stretch if side > 0 else stretch[::-1], tags, mph, bridge)


def draw_railway(plan: Plan, sheet: Sheet, level_crossings: list[tuple[float, int]]) -> None:
    """Adds the railway: a single track through the city, with a bridge over the motorway and a station downtown."""
    x = plan.rail_column + RAIL_OFFSET
    over = clear(plan.motorway(x))
    edges = (clear(over - BRIDGE_REACH), clear(over + BRIDGE_REACH))
    stations = dict(level_crossings)
    for y in [0.05, *edges, *(row + 0.42 for row in range(plan.rows)), plan.rows - 0.05]:
        if y in edges or not edges[0] - 0.02 < y < edges[1] + 0.02:
            stations[y] = sheet.node(x, y)
    places = sorted(stations)

    def kind(interval: tuple[float, float]) -> tuple[bool, int]:
        middle = sum(interval) / 2
        return edges[0] < middle < edges[1], int(middle) // 5

    for (bridge, _), group in groupby(pairwise(places), key=kind):
        intervals = list(group)
        nodes = [stations[intervals[0][0]], *(stations[interval[1]] for interval in intervals)]
        sheet.rail(nodes, {"railway": "rail", "gauge": "1435", "usage": "main"}, bridge)
    row = int(plan.centre[1])
    sheet.node(x + 0.02, row + 0.5, {"railway": "station", "public_transport": "station", "name": "Union Station"})
    sheet.rect((x + 0.012, row + 0.44, x + 0.022, row + 0.58), {"railway": "platform", "public_transport": "platform"})


def plan_streams(plan: Plan, districts: dict[Cell, District]) -> dict[Cell, float]:
    """Chooses the tiles that have a stream. Returns a dict from tile (column, row) to the y position of the stream.

    A stream crosses only one tile, from west to east. Tiles in which the stream would come close to the river, the
    motorway or the railway have no stream.
    """
    streams = {}
    for (column, row), district in districts.items():
        y = row + STREAM_Y
        if plan.random("stream", column, row).random() > (0.2 if district in URBAN else 0.3):
            continue
        if district in (District.PARK, District.AIRFIELD, District.DOWNTOWN) or column == plan.rail_column:
            continue
        from_motorway = min(abs(plan.motorway(column + k / 5) - y) for k in range(6))
        from_river = min(abs(plan.river(y) - (column + k / 5)) for k in range(6))
        if from_motorway > 0.35 and from_river > 0.35:
            streams[column, row] = y
    return streams


def draw_streams(plan: Plan, sheet: Sheet, network: Network) -> None:
    """Adds all streams, and the foot bridges and drains that cross them.

    Some of the streams get a foot bridge, but only where no street crosses them. Some of the streams without a foot
    bridge get a drain, which crosses the stream in a culvert.
    """
    for (column, row), y in network.streams.items():
        lot = plan.random("stream course", column, row)
        bends = [(column + x, y + 0.012 * (2 * lot.random() - 1)) for x in (0.04, 0.2, 0.38, 0.5, 0.63, 0.8, 0.96)]
        sheet.line(bends, {"waterway": "stream"})
        streets, _ = network.in_tile((column, row))
        if not streets and lot.random() < 0.6:
            _foot_bridge_south(sheet, column + 0.42 + 0.16 * lot.random(), y)
        elif lot.random() < 0.2:
            tags = {"waterway": "drain", "tunnel": "culvert", "layer": "-1"}
            sheet.line([(column + 0.12, y - 0.03), (column + 0.14, y + 0.03)], tags)


def _foot_bridge_south(sheet: Sheet, x: float, y: float) -> None:
    nodes = [sheet.node(x, y + step) for step in (-0.2, -0.025, 0.025, 0.2)]
    sheet.path(nodes[:2], {"highway": "path", "surface": "ground"})
    sheet.path(nodes[1:3], {"highway": "path", "surface": "wood"}, bridge=True)
    sheet.path(nodes[2:], {"highway": "path", "surface": "ground"})


def draw_park(plan: Plan, sheet: Sheet) -> None:
    """Adds the park, which covers several tiles.

    The park is a multipolygon with two holes (a pond and a yard). Paths, trees, benches and playgrounds are added
    inside it.
    """
    x0, y0, x1, y1 = plan.park
    outline = [
        (x0 + 0.06, y1 - 0.05), (x1 - 0.4, y1 - 0.06), (x1 - 0.05, y1 - 0.3), (x1 - 0.06, y0 + 0.05),
        (x0 + 0.5, y0 + 0.07), (x0 + 0.05, y0 + 0.35),
    ]  # fmt: skip
    pond = _round((x0 + 0.55, y0 + 0.62), 0.16, 0.11)
    yard = [(x1 - 0.75, y1 - 0.62), (x1 - 0.45, y1 - 0.62), (x1 - 0.45, y1 - 0.38), (x1 - 0.75, y1 - 0.38)]
    sheet.multipolygon([outline], [pond, yard], {"leisure": "park", "name": "Freedom Park"})
    sheet.multipolygon([pond], [_round((x0 + 0.58, y0 + 0.61), 0.03, 0.02)], {"natural": "water", "water": "pond"})
    for row in range(int(y0), int(y1)):
        for column in range(int(x0), int(x1)):
            _furnish_park(plan, sheet, column, row)


def _furnish_park(plan: Plan, sheet: Sheet, column: int, row: int) -> None:
    lot = plan.random("park", column, row)
    y = row + 0.82
    nodes = [sheet.node(column + x, y + 0.04 * lot.random()) for x in (0.09, 0.3, 0.5, 0.7, 0.91)]
    sheet.path(nodes, {"highway": "footway", "surface": "gravel"})
    down = [nodes[1], *(sheet.node(column + 0.28, row + at) for at in (0.7, 0.4, 0.2))]
    sheet.path(down, {"highway": "footway", "surface": "gravel"})
    for _ in range(8 + lot.randrange(20)):
        place = (column + 0.08 + 0.84 * lot.random(), row + 0.85 + 0.1 * lot.random())
        sheet.node(*place, {"natural": "tree", "leaf_type": lot.choice(["broadleaved", "needleleaved"])})
    for k in range(4):
        sheet.node(column + 0.3 + 0.15 * k, row + 0.8, {"amenity": "bench", "backrest": lot.choice(["yes", "no"])})
    if lot.random() < 0.6:
        pitch = (column + 0.78, row + 0.1, column + 0.9, row + 0.26)
        sheet.rect(pitch, {"leisure": "pitch", "sport": lot.choice(["soccer", "tennis", "baseball"])})
    if lot.random() < 0.6:
        sheet.rect((column + 0.1, row + 0.1, column + 0.16, row + 0.16), {"leisure": "playground"})


def draw_airfield(plan: Plan, sheet: Sheet) -> None:
    """Adds the airfield: an aerodrome with one runway, taxiways, aprons, hangars and an access road."""
    x0, y0, x1, y1 = plan.airfield
    fence = (x0 + 0.05, y0 + 0.06, x1 - 0.05, y1 - 0.06)
    sheet.rect(fence, {"aeroway": "aerodrome", "name": "Piedmont Field", "icao": "KXPF", "iata": "XPF"})
    runway_y, taxi_y = y0 + 0.3, y0 + 0.42
    runway = {"aeroway": "runway", "ref": "09/27", "surface": "asphalt", "width": "30"}
    sheet.line([(x0 + 0.15, runway_y), (x1 - 0.15, runway_y)], runway)
    sheet.line([(x0 + 0.15, taxi_y), (x1 - 0.15, taxi_y)], {"aeroway": "taxiway", "ref": "A"})
    for column in range(int(x0), int(x1)):
        sheet.line([(column + 0.4, runway_y), (column + 0.4, taxi_y)], {"aeroway": "taxiway", "ref": f"A{column}"})
        for k in range(4):
            sheet.node(column + 0.2 + 0.2 * k, taxi_y + 0.03, {"aeroway": "navigationaid", "navigationaid": "txe"})
    row = int(y1) - 1
    for column in range(int(x0), int(x1)):
        middle = column + 0.5
        sheet.rect((middle - 0.3, row + 0.6, middle + 0.3, row + 0.75), {"aeroway": "apron", "surface": "concrete"})
        for k in range(3 + column % 3):
            left = column + 0.15 + 0.13 * k
            hangar = [(left, row + 0.84), (left + 0.07, row + 0.84), (left + 0.07, row + 0.78), (left, row + 0.78)]
            sheet.building(hangar, {"building": "hangar", "aeroway": "hangar"})
        sheet.node(column + 0.12, row + 0.62, {"aeroway": "windsock"})
        for row_above in range(int(y0), row):  # grass along the runway
            for k in range(3):
                patch = (column + 0.1 + 0.28 * k, row_above + 0.6, column + 0.3 + 0.28 * k, row_above + 0.9)
                sheet.rect(patch, {"landuse": "grass"})
    drive = [sheet.node(x0 + 0.1, row + 0.9), sheet.node(x1 - 0.1, row + 0.9)]
    sheet.road(drive, {"highway": "service", "name": "Airport Drive"}, 15)


def _round(middle: Point, rx: float, ry: float) -> list[Point]:
    """Returns an ellipse, approximated by a polygon of twelve points that is counter-clockwise on the map."""
    unit = ((1, 0), (0.866, 0.5), (0.5, 0.866), (0, 1), (-0.5, 0.866), (-0.866, 0.5))
    half = [(middle[0] + rx * u, middle[1] - ry * v) for u, v in unit]
    return half + [(2 * middle[0] - x, 2 * middle[1] - y) for x, y in half]
