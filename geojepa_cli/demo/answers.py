"""Correct task labels of the demo city's tiles, counted while the city's OSM elements are created."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from geojepa_cli.demo.plan import Plan

KM_PER_MILE = 1.609344
NO_HIGHWAY = -100.0  # label of `max_speed` for a tile without any highway (GeoJEPA thesis, chapter 6)
CLEARANCE = 1e-3  # minimum distance to a tile border or corner, in tiles (half a metre)

Point = tuple[float, float]
Cell = tuple[int, int]
KnownAnswers = dict[str, dict[str, float | None]]


class Ledger:
    """Counts the buildings, traffic signals, bridges, highways and speed limits in each tile of the demo city.

    The code that creates an OSM element also counts the element here. The counts never come from tags, so they are an
    independent check of the code that computes labels from tags. An element that overlaps several tiles counts once in
    each.
    """

    def __init__(self) -> None:
        self.buildings: Counter[Cell] = Counter()
        self.signals: Counter[Cell] = Counter()
        self.bridges: Counter[Cell] = Counter()
        self.car_bridges: Counter[Cell] = Counter()
        self.highways: Counter[Cell] = Counter()
        self.speeds_mph: dict[Cell, float] = {}

    def building(self, cell: Cell) -> None:
        self.buildings[cell] += 1

    def signal(self, cells: Iterable[Cell]) -> None:
        self.signals.update(cells)

    def highway(self, cells: Iterable[Cell], mph: float | None = None) -> None:
        for cell in cells:
            self.highways[cell] += 1
            if mph is not None:
                self.speeds_mph[cell] = max(mph, self.speeds_mph.get(cell, 0.0))

    def bridge(self, cells: Iterable[Cell], for_cars: bool) -> None:
        for cell in cells:
            self.bridges[cell] += 1
            if for_cars:
                self.car_bridges[cell] += 1

    def answers(self, plan: Plan) -> KnownAnswers:
        """Returns the correct labels of every tile of the plan, as {tile name: {task: label}}.

        The label of the task `max_speed` is in km/h. It is −100 for a tile without highways, and None for a tile that
        has highways but no speed limit. Tiles with the label None do not belong to the task.
        """
        cells = ((column, row) for row in range(plan.rows) for column in range(plan.columns))
        return {plan.tile_name(*cell): self._answer(cell) for cell in cells}

    def _answer(self, cell: Cell) -> dict[str, float | None]:
        speed: float | None = NO_HIGHWAY
        if self.highways[cell]:
            mph = self.speeds_mph.get(cell)
            speed = None if mph is None else mph * KM_PER_MILE
        return {
            "traffic_signals": float(self.signals[cell]),
            "building_count": float(self.buildings[cell]),
            "bridge": float(self.bridges[cell] > 0),
            "car_bridge": float(self.car_bridges[cell] > 0),
            "max_speed": speed,
        }


def cell_of(point: Point) -> Cell:
    """Returns the tile (column, row) of the demo city that contains a point.

    Raises:
        ValueError: the point is too close to a tile border.
    """
    for value in point:
        if abs(value - round(value)) < CLEARANCE:
            raise ValueError(f"{point} is too close to a tile border: its tile would depend on rounding")
    return math.floor(point[0]), math.floor(point[1])


def cells_of_line(points: Sequence[Point]) -> set[Cell]:
    """Returns the tiles (column, row) of the demo city that a line passes through.

    The line is cut at tile borders. The midpoint of each part decides in which tile the part lies.

    Raises:
        ValueError: the line is too close to a tile corner, or one of its points is too close to a tile border.
    """
    cells = {cell_of(point) for point in points}
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        cuts = [0.0, *sorted(_crossings(ax, bx) + _crossings(ay, by)), 1.0]
        for start, end in itertools.pairwise(cuts):
            if (end - start) * math.hypot(bx - ax, by - ay) < CLEARANCE:
                raise ValueError(f"({ax}, {ay}) to ({bx}, {by}) passes too close to a tile corner")
            middle = (start + end) / 2
            cells.add((math.floor(ax + middle * (bx - ax)), math.floor(ay + middle * (by - ay))))
    return cells


def cells_of_box(points: Iterable[Point], reach: float = 0.0) -> Iterator[Cell]:
    """Yields the tiles that meet the bounding box of points, widened by `reach` on each side, row by row."""
    xs, ys = zip(*points, strict=True)
    for row in range(int(min(ys) - reach), int(max(ys) + reach) + 1):
        for column in range(int(min(xs) - reach), int(max(xs) + reach) + 1):
            yield column, row


def _crossings(a: float, b: float) -> list[float]:
    """Returns the places where a line crosses tile borders, which are at integer values of one coordinate (x or y).

    Each place is a fraction of the line: 0 is the start of the line and 1 is its end.

    Args:
        a: value of this coordinate at the start of the line, in tiles.
        b: value of this coordinate at the end of the line, in tiles.
    """
    low, high = min(a, b), max(a, b)
    return [(border - a) / (b - a) for border in range(math.ceil(low), math.floor(high) + 1)] if a != b else []
