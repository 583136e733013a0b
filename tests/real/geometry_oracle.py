"""Whole geometries of an extract and their pieces in tiles: pyosmium reads, shapely clips, PROJ measures.

An oracle that shares no code with the package. A tile is half-open for points; lines and areas are in it with a
positive length or area inside the open tile. shapely builds the rings of multipolygons. Where they do not close, or
cross, the relation is its members.
"""

from __future__ import annotations

import math
from collections import defaultdict
from functools import cache, reduce
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import osmium
import shapely
import yaml
from pyproj import Geod
from shapely.geometry.base import BaseGeometry
from shapely.ops import linemerge

ROOT = Path(__file__).resolve().parents[2]
ZOOM = 16
GEOD = Geod(ellps="WGS84")
Tile = tuple[int, int]


@cache
def tables() -> tuple[dict[str, object], list[str]]:
    areas = yaml.safe_load((ROOT / "native/areas.yaml").read_text())["keys"]
    return areas, yaml.safe_load((ROOT / "native/tag_filter.yaml").read_text())["drop"]


def is_area(tags: dict[str, str]) -> bool:
    if tags.get("area") in ("yes", "no"):
        return tags["area"] == "yes"
    for key, rule in tables()[0].items():
        value = tags.get(key)
        if value is None or value == "no":
            continue
        if rule == "any":
            return True
        assert isinstance(rule, dict)
        if value in rule.get("only", []) or ("except" in rule and value not in rule["except"]):
            return True
    return False


def has_kept_tag(tags: dict[str, str]) -> bool:
    def dropped(key: str) -> bool:
        for pattern in tables()[1]:
            if key == pattern or (pattern.endswith("*") and key.startswith(pattern[:-1])):
                return True
            if pattern.startswith("*") and key.endswith(pattern[1:]):
                return True
        return False

    return any(not dropped(key) for key in tags)


def makes_ring(role: str) -> bool:
    """Members with other roles, such as `subarea`, `label` or `outline`, bound nothing."""
    return role.strip().lower() in ("", "outer", "inner", "enclave", "exclave")


def edge_latitude(y: int) -> float:
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / 2**ZOOM))))


def bounds(tile: Tile) -> tuple[float, float, float, float]:
    x, y = tile
    return x / 2**ZOOM * 360 - 180, edge_latitude(y + 1), (x + 1) / 2**ZOOM * 360 - 180, edge_latitude(y)


def tile_of(lon: float, lat: float) -> Tile:
    x = math.floor((lon + 180) / 360 * 2**ZOOM)
    y = math.floor((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**ZOOM)
    return x, y


class Extract:
    """Every object's whole geometry, and an index of where each may be."""

    def __init__(self, path: Path) -> None:
        self.points: dict[int, tuple[float, float]] = {}
        self.ways: dict[int, tuple[dict[str, str], list[int]]] = {}
        self.relations: dict[int, tuple[dict[str, str], list[tuple[str, int, str]]]] = {}
        tagged: dict[int, dict[str, str]] = {}
        for item in osmium.FileProcessor(path):
            tags = {tag.k: tag.v for tag in item.tags}
            if item.is_node():
                self.points[item.id] = (item.location.x / 1e7, item.location.y / 1e7)
                if tags:
                    tagged[item.id] = tags
            elif item.is_way():
                self.ways[item.id] = (tags, [node.ref for node in item.nodes])
            elif item.is_relation():
                self.relations[item.id] = (tags, [(member.type, member.ref, member.role) for member in item.members])
        self.shapes: dict[str, tuple[str, list[BaseGeometry]]] = {}
        for number, tags in tagged.items():
            if has_kept_tag(tags):
                self.shapes[f"node/{number}"] = ("point", [shapely.Point(self.points[number])])
        for number, (tags, _) in self.ways.items():
            shape = self.way_shape(number)
            if has_kept_tag(tags) and shape is not None:
                self.shapes[f"way/{number}"] = ("area" if shape.area > 0 else "line", [shape])
        for number, (tags, members) in self.relations.items():
            if has_kept_tag(tags):
                self.shapes[f"relation/{number}"] = self.relation_shape(tags, members)
        self.refs: list[str] = []
        flat: list[BaseGeometry] = []
        for ref, (_, shapes) in self.shapes.items():
            flat += shapes
            self.refs += [ref] * len(shapes)
        self.flat = flat
        self.tree = shapely.STRtree(flat)

    def coordinates(self, refs: list[int]) -> list[tuple[float, float]]:
        found = [self.points[ref] for ref in refs if ref in self.points]
        return [point for i, point in enumerate(found) if i == 0 or point != found[i - 1]]

    def way_shape(self, number: int) -> BaseGeometry | None:
        tags, refs = self.ways[number]
        points = self.coordinates(refs)
        if len(refs) >= 4 and refs[0] == refs[-1] and is_area(tags):
            if len(set(points)) < 3:
                return None
            shape = shapely.make_valid(shapely.Polygon(points))
            return shape if shape.area > 0 else None
        return shapely.LineString(points) if len(points) > 1 else None

    def relation_shape(
        self, tags: dict[str, str], members: list[tuple[str, int, str]]
    ) -> tuple[str, list[BaseGeometry]]:
        if tags.get("type") in ("multipolygon", "boundary"):
            rings = [ref for kind, ref, role in members if kind == "w" and makes_ring(role)]
            area = self.multipolygon(list(dict.fromkeys(rings)))
            if area is not None:
                return "area", [area]
        shapes: list[BaseGeometry] = []
        for kind, ref in dict.fromkeys((kind, ref) for kind, ref, _ in members):
            if kind == "n" and ref in self.points:
                shapes.append(shapely.Point(self.points[ref]))
            elif kind == "w" and ref in self.ways:
                shape = self.way_shape(ref)
                shapes += [] if shape is None else [shape]
        return "relation", shapes

    def multipolygon(self, refs: list[int]) -> BaseGeometry | None:
        """Rings by the even-odd rule; None where the ways do not close, or cross."""
        lines = [self.coordinates(self.ways[ref][1]) for ref in refs if ref in self.ways]
        lines = [line for line in lines if len(line) > 1]
        closed = [shapely.LineString(line) for line in lines if line[0] == line[-1]]
        open_lines = [shapely.LineString(line) for line in lines if line[0] != line[-1]]
        if open_lines:
            merged = linemerge(open_lines)
            closed += list(getattr(merged, "geoms", [merged]))
        if not closed or any(not ring.is_ring or not ring.is_simple for ring in closed):
            return None
        polygons = np.array([shapely.Polygon(ring) for ring in closed])
        if shapely.STRtree(polygons).query(polygons, predicate="overlaps").size:
            return None
        return reduce(shapely.symmetric_difference, polygons)

    def pieces(self, tile: Tile) -> dict[str, Clipped]:
        """Clips every object to the tile."""
        box = shapely.box(*bounds(tile))
        shapes: dict[str, list[BaseGeometry]] = defaultdict(list)
        for index in self.tree.query(box):
            ref, shape = self.refs[index], self.flat[index]
            if shape.geom_type == "Point":
                inside = [shape] if tile_of(shape.x, shape.y) == tile else []
            else:
                inside = clip(shape, box)
            if inside:
                shapes[ref] += inside
        return {ref: Clipped(self.shapes[ref][0], *measure(some), some) for ref, some in shapes.items()}


class Clipped(NamedTuple):
    """An object in a tile; ground area and length (perimeter for areas) by geodesics, shapes in degrees."""

    kind: str
    area_m2: float
    length_m: float
    shapes: list[BaseGeometry]


def clip(shape: BaseGeometry, box: BaseGeometry) -> list[BaseGeometry]:
    """The polygons and lines of a shape in the open box."""
    if shape.geom_type == "LineString" and not shape.is_simple:
        # shapely's overlay merges what a line runs twice; segment by segment it cannot.
        segments = [shapely.LineString(pair) for pair in pairwise(shape.coords)]
        return [part for segment in segments for part in simple_parts(segment.intersection(box), box)]
    return simple_parts(shape.intersection(box), box)


def simple_parts(inside: BaseGeometry, box: BaseGeometry) -> list[BaseGeometry]:
    parts: list[BaseGeometry] = []
    for part in shapely.get_parts(inside):
        if part.geom_type == "Polygon" and part.area > 1e-17:  # a tenth of a square millimetre
            parts.append(part)
        elif part.geom_type == "LineString":
            open_part = part.difference(box.exterior)
            parts += [line for line in shapely.get_parts(open_part) if line.length > 1e-12]
    return parts


def measure(shapes: list[BaseGeometry]) -> tuple[float, float]:
    """Ground area and length by geodesics."""
    area = length = 0.0
    for part in shapes:
        if part.geom_type == "Polygon":
            # PROJ's sign follows the winding, and its perimeter leaves out the holes.
            area += abs(GEOD.geometry_area_perimeter(shapely.geometry.polygon.orient(part))[0])
            length += GEOD.geometry_length(part.boundary)
        elif part.geom_type == "LineString":
            length += GEOD.geometry_length(part)
    return area, length
