"""The tokens of every tile, straight from an extract: pyosmium reads, shapely clips. An oracle without the package.

It follows docs/adr and native/areas.yaml (which closed ways are areas), native/tag_filter.yaml (which tags are
kept), and the rules that points belong to half-open tiles, ways and areas to every tile that they have a positive
length or area in, and that what covers a whole tile, boundaries and restrictions are no tokens.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import osmium
import shapely
import yaml
from shapely.geometry.base import BaseGeometry

ROOT = Path(__file__).resolve().parents[2]
AREAS = yaml.safe_load((ROOT / "native/areas.yaml").read_text())["keys"]
DROPPED = yaml.safe_load((ROOT / "native/tag_filter.yaml").read_text())["drop"]
ZOOM = 16
RING_ROLES = ("outer", "inner", "", "exclave", "enclave")  # of members that bound an area; all others bound nothing
LEAST = 1e-13  # degrees (and their square, for areas, below): what rounding leaves of a touch

Tags = dict[str, str]
Ref = tuple[str, int]
Tile = tuple[int, int]
Point = tuple[float, float]


class Extract:
    """Nodes, ways and relations of a file, as dictionaries."""

    def __init__(self, path: Path) -> None:
        self.nodes: dict[int, Point] = {}
        self.ways: dict[int, list[int]] = {}
        self.relations: dict[int, list[Ref]] = {}
        self.rings: dict[int, list[int]] = {}
        self.tags: dict[Ref, Tags] = {}
        for element in osmium.FileProcessor(path):
            kind = {"n": "node", "w": "way", "r": "relation"}[element.type_str()]
            if element.tags:
                self.tags[kind, element.id] = {tag.k: tag.v for tag in element.tags}
            if kind == "node":
                self.nodes[element.id] = (element.location.x / 1e7, element.location.y / 1e7)
            elif kind == "way":
                self.ways[element.id] = [node.ref for node in element.nodes]
            else:
                names = {"n": "node", "w": "way", "r": "relation"}
                self.relations[element.id] = [(names[m.type], m.ref) for m in element.members]
                ways = [m.ref for m in element.members if m.type == "w" and m.role.strip().lower() in RING_ROLES]
                self.rings[element.id] = list(dict.fromkeys(ways))

    def points(self, way: int) -> list[Point]:
        """The way's points that the file has."""
        return [self.nodes[ref] for ref in self.ways[way] if ref in self.nodes]


def tokens_by_tile(path: Path) -> dict[str, dict[Ref, Tags]]:
    """Kept tags of every token, by tile name and OSM element."""
    extract = Extract(path)
    tiles: dict[str, dict[Ref, Tags]] = defaultdict(dict)
    for ref, tags in extract.tags.items():
        kept = {key: value for key, value in tags.items() if is_kept(key)}
        if kept:
            for x, y in token_tiles(extract, ref, tags):
                tiles[f"{ZOOM}_{x}_{y}"][ref] = kept
    return dict(tiles)


def token_tiles(extract: Extract, ref: Ref, tags: Tags) -> set[Tile]:
    """The tiles in which an element is a token."""
    kind, number = ref
    if kind == "node":
        return {tile_at(*extract.nodes[number])}
    if kind == "way":
        tiles, covered, is_area = way_tiles(extract, number)
        return set() if is_area and is_boundary(tags) else tiles - covered
    if tags.get("type") == "boundary" or tags.get("type", "").startswith("restriction"):
        return set()
    if tags.get("type") == "multipolygon":
        if is_boundary(tags):
            return set()
        lines = [extract.points(way) for way in extract.rings[number] if way in extract.ways]
        area = assemble(points for points in lines if len(points) > 1)
        if area is not None:
            tiles, covered = area_tiles(area)
            return tiles - covered
    return member_tiles(extract, number)


def member_tiles(extract: Extract, relation: int) -> set[Tile]:
    """The tiles of a relation's direct members, nodes and ways; no recursion."""
    tiles: set[Tile] = set()
    for kind, number in extract.relations[relation]:
        if kind == "node" and number in extract.nodes:
            tiles.add(tile_at(*extract.nodes[number]))
        elif kind == "way" and number in extract.ways:
            tiles |= way_tiles(extract, number)[0]
    return tiles


def way_tiles(extract: Extract, way: int) -> tuple[set[Tile], set[Tile], bool]:
    """The tiles of a way, those that it covers, and whether it is an area."""
    refs, points, tags = extract.ways[way], extract.points(way), extract.tags.get(("way", way), {})
    if len(points) < 2:
        return set(), set(), False
    if len(refs) >= 4 and refs[0] == refs[-1] and is_area(tags):
        if len(set(points)) < 3:
            return set(), set(), True
        polygon = shapely.make_valid(shapely.Polygon([*points, points[0]]), method="linework")
        return *area_tiles(polygon), True
    return line_tiles(points), set(), False


def line_tiles(points: list[Point]) -> set[Tile]:
    """Tiles in whose inside the line has a positive length."""
    if len(set(points)) < 2:
        return set()
    line = shapely.LineString(points)
    tiles = list(tiles_of_bounds(line.bounds))
    if len(tiles) == 1:
        return set(tiles)
    return {tile for tile in tiles if length_inside(line, tile_box(*tile)) > LEAST}


def length_inside(line: BaseGeometry, box: BaseGeometry) -> float:
    """Length of what lies in the open box."""
    inside = line.intersection(box)
    return float(inside.length and inside.difference(box.boundary).length)


def area_tiles(area: BaseGeometry) -> tuple[set[Tile], set[Tile]]:
    """Tiles in which the area is over 0, and those that it covers whole."""
    tiles, covered = set(), set()
    shapely.prepare(area)
    for tile in tiles_of_bounds(area.bounds):
        box = tile_box(*tile)
        if area.covers(box):
            tiles.add(tile)
            covered.add(tile)
        elif area.intersects(box) and area.intersection(box).area > LEAST**2:
            tiles.add(tile)
    return tiles, covered


def assemble(lines: Iterable[list[Point]]) -> BaseGeometry | None:
    """The area that ways enclose by the even-odd rule; None where they do not close or cross each other."""
    segments: Counter[tuple[Point, Point]] = Counter()
    for points in lines:
        for a, b in itertools.pairwise(points):
            if a != b:
                segments[min(a, b), max(a, b)] += 1
    edges = [segment for segment, times in segments.items() if times % 2]  # what two ways share, no ring needs
    ends = Counter(point for segment in edges for point in segment)
    if not edges or any(degree % 2 for degree in ends.values()):
        return None
    noded = shapely.node(shapely.MultiLineString(edges))
    if len(noded.geoms) != len(edges):
        return None
    faces = shapely.polygonize([shapely.LineString(edge) for edge in edges]).geoms
    inside = [face for face in faces if crossings(face.representative_point(), edges) % 2]
    return shapely.union_all(inside)


def crossings(point: BaseGeometry, edges: list[tuple[Point, Point]]) -> int:
    """Counts the edges that a ray eastwards from the point crosses."""
    x, y = point.x, point.y
    count = 0
    for (ax, ay), (bx, by) in edges:
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            count += 1
    return count


@cache
def is_kept(key: str) -> bool:
    """Returns whether the default tag filter keeps a key."""
    return not any(
        key == p or (p.endswith("*") and key.startswith(p[:-1])) or (p.startswith("*") and key.endswith(p[1:]))
        for p in DROPPED
    )


def is_area(tags: Tags) -> bool:
    """native/areas.yaml for closed ways of four or more references."""
    if tags.get("area") in ("yes", "no"):
        return tags["area"] == "yes"
    return any(says_area(key, value) for key, value in tags.items())


def says_area(key: str, value: str) -> bool:
    """One key of native/areas.yaml."""
    rule: Any = AREAS.get(key)
    if rule is None or value == "no":
        return False
    return rule == "any" or value in rule.get("only", []) or ("except" in rule and value not in rule["except"])


def is_boundary(tags: Tags) -> bool:
    """An area of which only `boundary` (and `place`) says what it is."""
    if tags.get("boundary", "no") in ("", "no"):
        return False
    return not any(says_area(key, value) for key, value in tags.items() if key not in ("boundary", "place"))


def tile_at(lon: float, lat: float) -> Tile:
    """The half-open tile of a point, by the slippy-map formula."""
    size = 2**ZOOM
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * size
    return math.floor((lon + 180) / 360 * size), math.floor(y)


def tiles_of_bounds(bounds: tuple[float, float, float, float]) -> Iterator[Tile]:
    """Every tile that the bounds touch."""
    west, south, east, north = bounds
    (left, top), (right, bottom) = tile_at(west, north), tile_at(east, south)
    return ((x, y) for x in range(left, right + 1) for y in range(top, bottom + 1))


@cache
def tile_box(x: int, y: int) -> BaseGeometry:
    """A tile in degrees."""
    size = 2**ZOOM
    west, east = (column / size * 360 - 180 for column in (x, x + 1))
    north, south = (math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row / size)))) for row in (y, y + 1))
    return shapely.box(west, south, east, north)
