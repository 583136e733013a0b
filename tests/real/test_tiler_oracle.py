"""The native binary against an oracle that shares no code with it: pyosmium reads, shapely clips, PROJ measures.

A tile is half-open for points; lines and areas are in it with a positive length or area inside the open tile. Rings of
multipolygons are put together by shapely; where they do not close, or cross, the relation is its members.

`pytest -m "" -rP tests/real/test_tiler_oracle.py` prints what was compared, and the largest differences, by extract.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache, reduce
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import osmium
import pytest
import shapely
import yaml
from pyproj import Geod, Transformer
from shapely.geometry.base import BaseGeometry
from shapely.ops import linemerge
from tiles_reader import Piece, Tiles, run_tiler
from tiles_writer import Processed, plane

from geojepa_cli import native

ROOT = Path(__file__).resolve().parents[2]
ZOOM = 16
GEOD = Geod(ellps="WGS84")
TOLERANCE_M = 0.5  # of the simplification
Tile = tuple[int, int]
#: Extracts and numbers of tiles: a few always, 200 of each in `make test-all`.
SOME = {"harrisburg": 50, "state-college": 20}
EVERY = ("baltimore-harbor", "baltimore-northwest", "columbus", "harrisburg", "helsinki-center", "honolulu")
EVERY += ("liechtenstein", "new-york-lower", "phoenix-northwest", "san-francisco-2014", "san-francisco-downtown")
EVERY += ("state-college", "virgin-islands")
SAMPLES = [pytest.param((name, count), id=name) for name, count in SOME.items()]
SAMPLES += [pytest.param((name, 200), id=f"{name}-200", marks=pytest.mark.slow) for name in EVERY]
#: Multipolygons that the assembler and shapely rightly take for different things, and why.
LISTED: dict[str, dict[str, str]] = {
    "baltimore-northwest": {
        "relation/1407727": "its outer way runs along eight segments twice, there and back: the assembler takes out "
        "what occurs twice and finds a whole ring, shapely sees a line that touches itself",
    },
}


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
        """What of every object lies in the tile."""
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


def outlines(shapes: list[BaseGeometry]) -> list[BaseGeometry]:
    """Points, lines and rings."""
    return [ring for shape in shapes for ring in shapely.get_parts(shape.boundary if shape.area > 0 else shape)]


def in_metres(shapes: list[BaseGeometry], frame: Transformer) -> BaseGeometry:
    """All shapes in the tile's plane, by PROJ."""

    def project(degrees: np.ndarray) -> np.ndarray:
        return np.stack(frame.transform(degrees[:, 0], degrees[:, 1], np.zeros(len(degrees)))[:2], axis=1)

    return shapely.GeometryCollection([shapely.transform(shape, project) for shape in shapes])


def drawn(role: str, points: np.ndarray) -> BaseGeometry:
    """A part as the line, ring or point that it is."""
    if role == "point":
        return shapely.Point(points[0])
    return shapely.LineString(points) if role == "line" else shapely.LinearRing(points)


@dataclass
class Findings:
    """What was compared on the tiles of an extract, what was wrong, and how far apart the rest was at most."""

    tiles: int = 0
    pairs: int = 0
    shapes: int = 0
    relations: int = 0
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    area_error: float = 0.0  # largest, as a share of what is allowed
    length_error: float = 0.0
    clipped_m: float = 0.0  # largest Hausdorff distance before simplification
    simplified_m: float = 0.0  # and after it

    def compare_tile(
        self, oracle: Extract, tiles: Tiles, processed: Processed, tile: Tile, listed: dict[str, str]
    ) -> None:
        expected = {ref: clipped for ref, clipped in oracle.pieces(tile).items() if ref not in listed}
        found = tiles.pieces(tile)
        self.tiles += 1
        self.missing += [f"{tile} {ref}" for ref in expected.keys() - found.keys()]
        self.extra += [f"{tile} {ref}" for ref in found.keys() - expected.keys() - listed.keys()]
        first = int(tiles.columns["tile/pieces"][tiles.tile_rows[tile]]) if tile in tiles.tile_rows else 0
        frame = plane(ZOOM, *tile)
        for row, (ref, piece) in enumerate(found.items(), first):
            if ref in expected:
                self.pairs += 1
                self.relations += piece.kind == "relation" or ref.startswith("relation")
                self.compare_measures(ref, piece, expected[ref])
                self.compare_shapes(ref, piece, processed.piece(row).parts, expected[ref], frame)

    def compare_measures(self, ref: str, piece: Piece, expected: Clipped) -> None:
        if piece.kind != expected.kind or (piece.covers_tile and piece.parts):
            self.wrong.append(f"{ref}: {piece.kind}, expected {expected.kind}")
        area, length = expected.area_m2, expected.length_m
        area_error = abs(piece.area_m2 - area) / max(0.001 * area, 0.01 * length, 1e-4)
        length_error = abs(piece.length_m - length) / max(0.001 * length, 0.02)
        if max(area_error, length_error) > 1:
            self.wrong.append(f"{ref}: {piece.area_m2} m², {piece.length_m} m, expected {area}, {length}")
        self.area_error = max(self.area_error, area_error)
        self.length_error = max(self.length_error, length_error)

    def compare_shapes(
        self, ref: str, piece: Piece, simplified: list[np.ndarray], expected: Clipped, frame: Transformer
    ) -> None:
        if piece.covers_tile:
            return
        roles = [role for role, _ in piece.parts]
        wanted = in_metres(outlines(expected.shapes), frame)
        before = in_metres([drawn(role, points) for role, points in piece.parts], frame)
        after = shapely.GeometryCollection([drawn(*part) for part in zip(roles, simplified, strict=True)])
        clipped_m = float(shapely.hausdorff_distance(before, wanted, 0.5))
        simplified_m = float(shapely.hausdorff_distance(after, wanted, 0.25))
        if clipped_m > 0.02 or simplified_m > TOLERANCE_M:
            self.wrong.append(f"{ref}: {clipped_m} m away, {simplified_m} m when simplified")
        self.shapes += 1
        self.clipped_m = max(self.clipped_m, clipped_m)
        self.simplified_m = max(self.simplified_m, simplified_m)


Run = tuple[str, Extract, Tiles, Processed, int]


@pytest.fixture(scope="module", params=SAMPLES)
def run(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One extract as the oracle has it, and as the binary does."""
    name, count = request.param
    (path,) = (shared / "osm").glob(f"{name}.osm*")
    folder = tmp_path_factory.mktemp(name)
    tiles, _ = run_tiler(path, folder / "tiles.h5", "--threads", "1")
    files = ["--input", str(folder / "tiles.h5"), "--output", str(folder / "processed.h5")]
    native.run(["process", *files, "--simplify-m", str(TOLERANCE_M)], "process")
    return name, Extract(path), tiles, Processed(folder / "processed.h5"), count


def sample(oracle: Extract, tiles: Tiles, count: int) -> list[Tile]:
    """Tiles that hold a node, tiles that the binary wrote and those beside them, in turn; fewer where all are taken."""
    chance = random.Random(7)
    nodes = sorted({tile_of(*point) for point in oracle.points.values()})
    written = sorted(tiles.tile_rows)
    beside = [(x + 1, y) for x, y in written]
    orders = [chance.sample(some, len(some)) for some in (nodes, written, beside)]
    chosen = [tile for row in zip_longest(*orders) for tile in row if tile is not None]
    return list(dict.fromkeys(chosen))[:count]


def test_objects_are_in_the_tiles_that_they_meet_and_have_shapelys_shape_there(run: Run) -> None:
    name, oracle, tiles, processed, count = run
    findings = Findings()
    for tile in sample(oracle, tiles, count):
        findings.compare_tile(oracle, tiles, processed, tile, LISTED.get(name, {}))
    print(name, findings)
    assert findings.missing == findings.extra == findings.wrong == []
    assert findings.pairs > 200 and findings.shapes > 100


def test_multipolygons_are_areas_where_their_rings_are_whole(run: Run) -> None:
    name, oracle, tiles, _, _ = run
    differ, areas = {}, 0
    for number, (tags, _) in oracle.relations.items():
        ref = f"relation/{number}"
        if tags.get("type") in ("multipolygon", "boundary") and ref in oracle.shapes and ref in tiles.rows:
            found = ("point", "line", "area", "relation")[tiles.columns["object/kind"][tiles.rows[ref]]]
            areas += found == "area"
            if found != oracle.shapes[ref][0]:
                differ[ref] = f"{found}, expected {oracle.shapes[ref][0]}"
    print(name, areas, "multipolygons are areas;", differ)
    assert differ.keys() == LISTED.get(name, {}).keys(), differ
