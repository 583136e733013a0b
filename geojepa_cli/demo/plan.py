"""The plan of the demo city: where its districts, river, motorway, railway, park and airfield lie.

Positions are in tiles of zoom 16: `x` eastwards and `y` southwards from the city's north-west corner, so that tile
(column, row) is the square [column, column + 1) × [row, row + 1) and tile borders are the whole numbers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

ZOOM = 16
GROUP = 4  # tiles of zoom 16 along the side of a zoom-14 group

Rect = tuple[float, float, float, float]  # x0, y0, x1, y1


class District(Enum):
    """Main use of a tile."""

    DOWNTOWN = "downtown"
    RESIDENTIAL = "residential"
    COMMERCIAL = "commercial"
    INDUSTRIAL = "industrial"
    FARM = "farm"
    WOOD = "wood"
    PARK = "park"
    AIRFIELD = "airfield"


URBAN = frozenset({District.DOWNTOWN, District.RESIDENTIAL, District.COMMERCIAL, District.INDUSTRIAL})


@dataclass(frozen=True)
class Plan:
    """Position of the large features.

    Attributes:
        west_tile, north_tile: zoom-16 tile of the north-west corner, a corner of a zoom-14 group.
        columns, rows: size in tiles, multiples of four.
        centre: middle of downtown, (x, y).
        river_x, river_shift_y: the river flows south near `river_x` and moves one column east around `river_shift_y`.
        motorway_y, motorway_shift_x: the motorway runs east near `motorway_y` and moves one row south there.
        rail_column: the column with the railway.
        park, airfield: tile rectangles (x0, y0, x1, y1), whole numbers.
        seed: of everything that is drawn by lot.
    """

    west_tile: int
    north_tile: int
    columns: int
    rows: int
    centre: tuple[float, float]
    river_x: float
    river_shift_y: float
    motorway_y: float
    motorway_shift_x: float
    rail_column: int
    park: tuple[int, int, int, int]
    airfield: tuple[int, int, int, int]
    seed: int

    def random(self, *purpose: object) -> random.Random:
        """Returns a separate generator for each purpose, so that a change for one does not change the others."""
        return random.Random(f"{self.seed}:" + ":".join(map(str, purpose)))

    def river(self, y: float) -> float:
        """Returns x of the river's middle at `y`."""
        return self.river_x + 0.16 * math.sin(1.9 * y + 0.6) + _step(y - self.river_shift_y)

    def motorway(self, x: float) -> float:
        """Returns y of the motorway's middle at `x`."""
        return self.motorway_y + 0.14 * math.sin(1.3 * x) + _step(x - self.motorway_shift_x)

    def tile_name(self, column: int, row: int) -> str:
        return f"{ZOOM}_{self.west_tile + column}_{self.north_tile + row}"

    def groups(self) -> int:
        """Number of zoom-14 groups."""
        return self.columns * self.rows // GROUP**2


def _step(t: float) -> float:
    """A smooth step from 0 to 1 around t = 0, about three tiles long."""
    return 1.0 / (1.0 + math.exp(-3.0 * t))


def make_plan(size: str = "full", seed: int = 0) -> Plan:
    """Returns the plan of a size: `full` (24 × 20 tiles, 30 zoom-14 groups) or `small` (8 × 8 tiles, 4 groups).

    Both lie around tile 16_18052_25957, south of Charlotte.

    Raises:
        ValueError: for any other size.
    """
    if size == "full":
        return Plan(
            18040, 25948, 24, 20, (12.4, 9.4), 8.47, 12.6, 14.5, 17.4, 16, (13, 6, 15, 8), (19, 2, 22, 4), seed
        )  # fmt: skip
    if size == "small":
        return Plan(18048, 25952, 8, 8, (4.4, 5.4), 1.47, 3.6, 2.5, 5.4, 6, (3, 6, 5, 8), (5, 0, 7, 1), seed)
    raise ValueError(f"size is `full` or `small`, got {size!r}")


def districts(plan: Plan) -> dict[tuple[int, int], District]:
    """Returns the district of every tile by (column, row): rings around the centre, with patches."""
    patch = _patches(plan)
    reach_x, reach_y = plan.columns / 2, plan.rows / 2
    result = {}
    for row in range(plan.rows):
        for column in range(plan.columns):
            far = math.hypot((column + 0.5 - plan.centre[0]) / reach_x, (row + 0.5 - plan.centre[1]) / reach_y)
            result[column, row] = _district(plan, column, row, far + 0.25 * patch(column, row))
    for rect, district in ((plan.park, District.PARK), (plan.airfield, District.AIRFIELD)):
        for row in range(rect[1], rect[3]):
            for column in range(rect[0], rect[2]):
                result[column, row] = district
    return result


def _district(plan: Plan, column: int, row: int, far: float) -> District:
    lot = plan.random("district", column // 2, row // 2).random()
    own = plan.random("own district", column, row).random()
    if far < 0.22:
        return District.DOWNTOWN
    if abs(column - plan.rail_column) <= 1 and far < 0.85:
        return District.INDUSTRIAL if own < 0.6 else District.RESIDENTIAL
    if far < 0.72:
        if lot < 0.17 or own < 0.06:
            return District.COMMERCIAL
        return District.INDUSTRIAL if lot > 0.93 else District.RESIDENTIAL
    if far < 0.82 and own < 0.5:
        return District.RESIDENTIAL
    return District.FARM if lot < 0.62 else District.WOOD


def _patches(plan: Plan) -> Callable[[int, int], float]:
    """Returns smooth noise in −1..1 with a grain of three tiles."""

    def corner(i: int, j: int) -> float:
        return 2.0 * plan.random("patch", i, j).random() - 1.0

    def patch(column: int, row: int) -> float:
        i, j = column // 3, row // 3
        u, v = (column % 3) / 3, (row % 3) / 3
        top = corner(i, j) * (1 - u) + corner(i + 1, j) * u
        bottom = corner(i, j + 1) * (1 - u) + corner(i + 1, j + 1) * u
        return top * (1 - v) + bottom * v

    return patch
