"""Plan of the demo city: positions of its districts, river, motorway, railway, park and airfield.

The unit of all positions is one tile of zoom 16. `x` counts eastwards and `y` southwards from the city's north-west
corner. The tile (column, row) is the square [column, column + 1) × [row, row + 1), so tile borders are at integers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

ZOOM = 16
GROUP = 4  # tiles of zoom 16 along the side of a zoom-14 tile

Rect = tuple[float, float, float, float]  # x0, y0, x1, y1


class District(Enum):
    """Main use of the land in a tile."""

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
    """Size of the demo city and positions of its large features.

    Attributes:
        west_tile, north_tile: Web Mercator tile numbers x and y (zoom 16) of the city's north-west tile. Both are
            multiples of four, so the city consists of whole tiles of zoom 14.
        columns, rows: size of the city in tiles of zoom 16. Both are multiples of four.
        centre: position (x, y) of the middle of downtown.
        river_x, river_shift_y: the river flows south along x = `river_x`. At y = `river_shift_y`, its course shifts one
            column to the east.
        motorway_y, motorway_shift_x: the motorway runs east along y = `motorway_y`. At x = `motorway_shift_x`, its
            course shifts one row to the south.
        rail_column: index of the column of tiles that has the railway.
        park, airfield: rectangles (x0, y0, x1, y1) that consist of whole tiles, from the north-west corner (x0, y0) to
            the south-east corner (x1, y1). Column x1 and row y1 are not part of the rectangle.
        seed: seed of all random choices.
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
        """Returns a random number generator whose numbers depend only on the seed of the plan and on `purpose`.

        Each feature of the city passes a different `purpose`. So a change to one feature does not change the random
        numbers of the other features.
        """
        return random.Random(f"{self.seed}:" + ":".join(map(str, purpose)))

    def river(self, y: float) -> float:
        """Returns the x position of the river's centreline at `y`."""
        return self.river_x + 0.16 * math.sin(1.9 * y + 0.6) + _step(y - self.river_shift_y)

    def motorway(self, x: float) -> float:
        """Returns the y position of the motorway's centreline at `x`."""
        return self.motorway_y + 0.14 * math.sin(1.3 * x) + _step(x - self.motorway_shift_x)

    def tile_name(self, column: int, row: int) -> str:
        return f"{ZOOM}_{self.west_tile + column}_{self.north_tile + row}"

    def groups(self) -> int:
        """Number of tiles of zoom 14 that the city fills."""
        return self.columns * self.rows // GROUP**2


def _step(t: float) -> float:
    """Returns the value at `t` (in tiles) of a function that rises smoothly from 0 to 1.

    The rise is about three tiles long. Its centre is at t = 0.
    """
    return 1.0 / (1.0 + math.exp(-3.0 * t))


def make_plan(size: str = "full", seed: int = 0) -> Plan:
    """Returns the plan of a demo city. The city lies around tile 16_18052_25957, south of Charlotte.

    Args:
        size: `full` (24 × 20 tiles of zoom 16) or `small` (8 × 8 tiles).
        seed: seed of all random choices.

    Raises:
        ValueError: `size` is neither `full` nor `small`.
    """
    if size == "full":
        return Plan(
            18040, 25948, 24, 20, (12.4, 9.4), 8.47, 12.6, 14.5, 17.4, 16, (13, 6, 15, 8), (19, 2, 22, 4), seed
        )  # fmt: skip
    if size == "small":
        return Plan(18048, 25952, 8, 8, (4.4, 5.4), 1.47, 3.6, 2.5, 5.4, 6, (3, 6, 5, 8), (5, 0, 7, 1), seed)
    raise ValueError(f"the size must be `full` or `small`, got {size!r}")


def districts(plan: Plan) -> dict[tuple[int, int], District]:
    """Returns a dict from tile (column, row) to district. Districts form irregular rings around the city centre."""
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
    """Returns a function of (column, row) whose values are smooth random noise from −1 to 1.

    Random values at points three tiles apart are interpolated.
    """

    def corner(i: int, j: int) -> float:
        return 2.0 * plan.random("patch", i, j).random() - 1.0

    def patch(column: int, row: int) -> float:
        i, j = column // 3, row // 3
        u, v = (column % 3) / 3, (row % 3) / 3
        top = corner(i, j) * (1 - u) + corner(i + 1, j) * u
        bottom = corner(i, j + 1) * (1 - u) + corner(i + 1, j + 1) * u
        return top * (1 - v) + bottom * v

    return patch
