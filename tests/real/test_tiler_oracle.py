"""The native tiler against an oracle that shares no code with it: pyosmium reads, shapely clips, PROJ measures.

A tile is half-open for points; lines and areas are in it with a positive length or area inside the open tile. Rings of
multipolygons are put together by shapely; where they do not close, or cross, the relation is its members.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path

import osmium
import pytest
import shapely
import yaml
from pyproj import Geod
from shapely.geometry.base import BaseGeometry
from shapely.ops import linemerge
from tiles_reader import Piece, Tiles, run_tiler

ROOT = Path(__file__).resolve().parents[2]
ZOOM = 16
GEOD = Geod(ellps="WGS84")
Tile = tuple[int, int]
#: Extracts, and the number of tiles to compare.
EXTRACTS = {"harrisburg": 50, "state-college": 20}


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
        self.relations: dict[int, tuple[dict[str, str], list[tuple[str, int]]]] = {}
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
                self.relations[item.id] = (tags, [(member.type, member.ref) for member in item.members])
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

    def relation_shape(self, tags: dict[str, str], members: list[tuple[str, int]]) -> tuple[str, list[BaseGeometry]]:
        members = list(dict.fromkeys(members))
        if tags.get("type") in ("multipolygon", "boundary"):
            area = self.multipolygon([ref for kind, ref in members if kind == "w"])
            if area is not None:
                return "area", [area]
        shapes: list[BaseGeometry] = []
        for kind, ref in members:
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
        polygons = [shapely.Polygon(ring) for ring in closed]
        if any(a.overlaps(b) for a, b in combinations(polygons, 2)):
            return None
        area: BaseGeometry = shapely.Polygon()
        for polygon in polygons:
            area = area.symmetric_difference(polygon)
        return area

    def pieces(self, tile: Tile) -> dict[str, tuple[str, float, float]]:
        """Kind, area and length of every object in the tile."""
        box = shapely.box(*bounds(tile))
        found: dict[str, tuple[str, float, float]] = {}
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        present: set[str] = set()
        for index in self.tree.query(box):
            ref, shape = self.refs[index], self.flat[index]
            if shape.geom_type == "Point":
                if tile_of(shape.x, shape.y) == tile:
                    present.add(ref)
                continue
            inside = shape.intersection(box)
            if shape.geom_type == "LineString" and not shape.is_simple:
                # shapely's overlay merges what a line runs twice; segment by segment it cannot.
                segments = [shapely.LineString(pair).intersection(box) for pair in pairwise(shape.coords)]
                inside = shapely.MultiLineString(
                    [s.intersection(box) for s in segments if s.crosses(box) or s.within(box)]
                )
            area, length = measure(inside, box)
            if area > 0 or length > 0:
                present.add(ref)
                sums[ref][0] += area
                sums[ref][1] += length
        for ref in present:
            found[ref] = (self.shapes[ref][0], *sums[ref])
        return found


def measure(inside: BaseGeometry, box: BaseGeometry) -> tuple[float, float]:
    """Ground area and length (perimeter for areas) of what lies in the open box, by geodesics."""
    area = length = 0.0
    for part in getattr(inside, "geoms", [inside]):
        if part.geom_type == "Polygon" and part.area > 1e-16:
            # PROJ's sign follows the winding, and its perimeter leaves out the holes.
            area += abs(GEOD.geometry_area_perimeter(shapely.geometry.polygon.orient(part))[0])
            length += GEOD.geometry_length(part.boundary)
        elif part.geom_type in ("LineString", "MultiLineString"):
            open_part = part.difference(box.exterior)
            if open_part.length > 1e-12:
                length += GEOD.geometry_length(open_part)
        elif part.geom_type in ("MultiPolygon", "GeometryCollection"):
            more = measure(part, box)
            area, length = area + more[0], length + more[1]
    return area, length


def check(ref: str, piece: Piece, expected: tuple[str, float, float], box: BaseGeometry) -> None:
    kind, area, length = expected
    assert piece.kind == kind, ref
    assert abs(piece.length_m - length) <= max(0.001 * length, 0.02), (ref, piece.length_m, length)
    assert abs(piece.area_m2 - area) <= max(0.001 * area, 0.01 * length, 1e-4), (ref, piece.area_m2, area)
    if piece.covers_tile:
        assert not piece.parts
    for _, coordinates in piece.parts:
        assert shapely.MultiPoint(coordinates).difference(box.buffer(1e-7)).is_empty, ref


@pytest.fixture(scope="module", params=EXTRACTS)
def extract(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    name = request.param
    path = shared / "osm" / f"{name}.osm.pbf"
    tiles, _ = run_tiler(path, tmp_path_factory.mktemp(name) / "tiles.h5", "--threads", "1")
    return Extract(path), tiles, EXTRACTS[name]


def sample(oracle: Extract, tiles: Tiles, count: int) -> list[Tile]:
    """Tiles that hold a node, tiles that the tiler wrote, and those beside them."""
    chance = random.Random(7)
    nodes = sorted({tile_of(*point) for point in oracle.points.values()})
    written = sorted(tiles.tile_rows)
    third = count // 3
    chosen = chance.sample(nodes, count - 2 * third) + chance.sample(written, third)
    chosen += [(x + 1, y) for x, y in chance.sample(written, third)]
    return list(dict.fromkeys(chosen))


def test_every_object_is_in_exactly_the_tiles_that_it_meets(extract: tuple[Extract, Tiles, int]) -> None:
    oracle, tiles, count = extract
    compared = 0
    for tile in sample(oracle, tiles, count):
        box = shapely.box(*bounds(tile))
        expected, found = oracle.pieces(tile), tiles.pieces(tile)
        assert set(found) == set(expected), tile
        for ref, piece in found.items():
            check(ref, piece, expected[ref], box)
            compared += 1
    assert compared > 200


def test_clipped_geometry_equals_shapelys_to_two_centimetres(extract: tuple[Extract, Tiles, int]) -> None:
    oracle, tiles, count = extract
    compared = 0
    for tile in sample(oracle, tiles, count):
        box = shapely.box(*bounds(tile))
        for ref, piece in tiles.pieces(tile).items():
            kind, shapes = oracle.shapes[ref]
            if kind not in ("line", "area") or piece.covers_tile:
                continue
            expected = shapes[0].intersection(box)
            if expected.area < 1e-14 and kind == "area":
                continue
            assert shapely.hausdorff_distance(piece.geometry(), expected, 0.5) < 2e-7, ref
            compared += 1
    assert compared > 100
