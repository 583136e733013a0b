"""Objects of the demo city in three dimensions: flat areas, walls, roofs, trees and posts.

Positions are (east, north) in metres from the city's north-west corner.
"""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from geojepa_cli.demo.answers import Cell, Point, cells_of_box
from geojepa_cli.demo.city import City
from geojepa_cli.demo.colours import paint_of
from geojepa_cli.demo.images import TILE_M
from geojepa_cli.demo.sheet import Sheet, Tags
from geojepa_cli.drawing.paints import HOUSES, Colour

FLOOR_M = 3.2
TREE_M = 9.0  # distance of trees in a wood or row
HEIGHTS = {"warehouse": 9.0, "industrial": 10.0, "retail": 6.5, "barn": 7.0, "school": 9.0, "church": 14.0}  # in metres
POLE_HEIGHTS = {("power", "tower"): 28.0, ("highway", "traffic_signals"): 4.5, ("natural", "tree"): 8.0}
PLASTER: tuple[Colour, ...] = (
    (214, 204, 186), (196, 180, 160), (226, 222, 214), (176, 120, 98), (188, 194, 198), (204, 190, 150),
)  # fmt: skip


@dataclass(frozen=True)
class Flat:
    """An area on the ground: its corners and colour. Those with a larger `layer` are drawn over the others."""

    layer: int
    corners: list[Point]
    colour: Colour


@dataclass(frozen=True)
class Building:
    """A building: corners of its walls, their height in metres, the number of floors, and colours.

    A building with a pitched roof has the height of this roof in `roof_m`, and one with a flat roof 0.
    """

    corners: list[Point]
    height_m: float
    floors: int
    colour: Colour
    roof_m: float
    roof: Colour


@dataclass(frozen=True)
class Post:
    """A tree (with a crown) or a post (with a sign): position, height in metres, and colour of the crown or sign."""

    place: Point
    height_m: float
    colour: Colour
    is_tree: bool


@dataclass
class Scene:
    """All objects in one tile."""

    flats: list[Flat] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)


def make_scenes(city: City) -> dict[Cell, Scene]:
    """Returns what stands in every tile. An object in several tiles is in the scene of each."""
    scenes: dict[Cell, Scene] = defaultdict(Scene)
    sheet = city.sheet
    for relation in sheet.relations:
        if relation.tags["type"] == "multipolygon" and relation.members:
            ring = sheet.points(sheet.ways[relation.members[0][1] - 1].nodes)
            _add_ring(scenes, ring, relation.tags, relation.id)
    for way in sheet.ways:
        points = sheet.points(way.nodes)
        if way.nodes[0] == way.nodes[-1]:
            _add_ring(scenes, points, way.tags, way.id)
        else:
            _add_line(scenes, points, way.tags, way.id)
    _add_posts(scenes, sheet)
    return scenes


def metres(point: Point) -> Point:
    """Converts a position on the plan, in tiles, to (east, north) in metres."""
    return point[0] * TILE_M, -point[1] * TILE_M


def tile_at(point: Point) -> Cell:
    """Returns the tile that contains a position on the plan. Close to a border, either tile may be returned."""
    return math.floor(point[0]), math.floor(point[1])


def _add_ring(scenes: dict[Cell, Scene], ring: list[Point], tags: Tags, number: int) -> None:
    paint = paint_of(tags, number)
    if paint is None:
        return
    corners = [metres(point) for point in ring[:-1]]
    if "building" in tags or paint.height_m:
        building = _building(corners, tags, number, paint.colour)
        scenes[tile_at(ring[0])].buildings.append(building)
        return
    for cell in cells_of_box(ring):
        scenes[cell].flats.append(Flat(paint.layer, corners, paint.colour))
    if tags.get("natural") == "wood":
        for place in _grid(ring):
            scenes[tile_at(place)].posts.append(_tree(place))


def _building(corners: list[Point], tags: Tags, number: int, roof: Colour) -> Building:
    kind = tags.get("building", "")
    floors = int(tags.get("building:levels", "0"))
    small = kind in HOUSES and not floors
    height = floors * FLOOR_M or (2 * FLOOR_M if small else HEIGHTS.get(kind, 6.0))
    colour = PLASTER[(number * 5 + zlib.crc32(kind.encode())) % len(PLASTER)]
    return Building(corners, height, floors or (2 if small else 1), colour, 3.0 if small else 0.0, roof)


def _add_line(scenes: dict[Cell, Scene], line: list[Point], tags: Tags, number: int) -> None:
    paint = paint_of(tags, number)
    if paint is None or tags.get("power") == "line":
        return
    if tags.get("natural") == "tree_row":
        for place in _along(line, TREE_M):
            scenes[tile_at(place)].posts.append(_tree(place))
        return
    for first, second in pairwise(line):
        corners = _strip(metres(first), metres(second), paint.width_m / 2)
        for cell in cells_of_box([first, second]):
            scenes[cell].flats.append(Flat(paint.layer, corners, paint.colour))


def _add_posts(scenes: dict[Cell, Scene], sheet: Sheet) -> None:
    for node in sheet.nodes:
        pair = next(((k, v) for k, v in node.tags.items() if k not in ("name", "source", "bus")), None)
        if pair is None or pair[0] in ("place", "entrance", "public_transport"):
            continue
        place = (node.x, node.y)
        if pair == ("natural", "tree"):
            scenes[tile_at(place)].posts.append(_tree(place))
            continue
        red, green, blue, *_ = zlib.crc32("=".join(pair).encode()).to_bytes(4, "big")
        colour = (60 + red * 3 // 4, 60 + green * 3 // 4, 60 + blue * 3 // 4)
        scenes[tile_at(place)].posts.append(Post(metres(place), POLE_HEIGHTS.get(pair, 3.0), colour, False))


def _tree(place: Point) -> Post:
    lot = zlib.crc32(f"{place[0]:.6f} {place[1]:.6f}".encode())
    shade = lot % 30
    return Post(metres(place), 6.0 + (lot >> 8) % 50 / 10, (44 + shade, 74 + shade, 38 + shade // 2), True)


def _strip(a: Point, b: Point, half: float) -> list[Point]:
    length = math.dist(a, b) or 1.0
    east, north = (b[1] - a[1]) / length * half, -(b[0] - a[0]) / length * half
    return [
        (a[0] + east, a[1] + north),
        (b[0] + east, b[1] + north),
        (b[0] - east, b[1] - north),
        (a[0] - east, a[1] - north),
    ]


def _along(line: list[Point], step_m: float) -> Iterator[Point]:
    for a, b in pairwise(line):
        count = max(1, int(math.dist(a, b) * TILE_M / step_m))
        for k in range(count):
            yield a[0] + (b[0] - a[0]) * k / count, a[1] + (b[1] - a[1]) * k / count


def _grid(ring: list[Point]) -> Iterator[Point]:
    xs, ys = zip(*ring, strict=True)
    step = TREE_M / TILE_M
    for row in range(int((max(ys) - min(ys)) / step)):
        for column in range(int((max(xs) - min(xs)) / step)):
            shift = 0.35 * (zlib.crc32(f"{row} {column}".encode()) % 100) / 100
            yield min(xs) + (column + 0.3 + shift) * step, min(ys) + (row + 0.6 - shift) * step
