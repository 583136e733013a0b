"""`geojepa-tiler tile` on random ways whose vertices lie on tile corners, edges and each other; shapely is the oracle.

Real extracts have almost no vertices exactly on the edge of a tile. Every way of these maps has some: they lie where
edges are at whole units of 1e-7 degrees (the equator, Greenwich, the antimeridian).
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
import shapely
from pyproj import Geod
from shapely.geometry.base import BaseGeometry
from tiles_reader import Piece, run_tiler

ZOOM = 16
SIDE = 360e7 / 2**ZOOM  # of a tile, in 1e-7 degrees, the unit of all coordinates here
GEOD = Geod(ellps="WGS84")
NOTHING = 1e-2  # units of length or area below which a piece may be lost to rounding
Place = tuple[int, int]
Tile = tuple[int, int]


def north_edge(y: int) -> float:
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / 2**ZOOM)))) * 1e7


def tile_box(x: int, y: int) -> BaseGeometry:
    west = x * SIDE - 180e7
    return shapely.box(west, north_edge(y + 1), west + SIDE, north_edge(y))


def random_way(chance: random.Random, middle: int) -> list[Place]:
    """Vertices on a coarse lattice around a tile corner on the equator, with many crossings, touches and repeats."""
    step = chance.choice([20_000, 27_465, 54_931, 100_000])
    places = [
        (middle + chance.randint(-3, 3) * step, chance.randint(-3, 3) * step) for _ in range(chance.randint(3, 9))
    ]
    return [place for place, before in zip(places, [None, *places], strict=False) if place != before]


def even_odd(ring: list[Place]) -> BaseGeometry:
    """The area that a ring surrounds an odd number of times: the faces between its sides with odd winding number."""
    sides = [shapely.LineString(side) for side in pairwise([*ring, ring[0]]) if side[0] != side[1]]
    faces = shapely.get_parts(shapely.polygonize([shapely.union_all(sides)]))
    return shapely.union_all([face for face in faces if turns_around(ring, face.representative_point()) % 2])


def turns_around(ring: list[Place], point: shapely.Point) -> int:
    """The winding number of a ring around a point, as the sum of the angles of its sides."""
    bearings = [math.atan2(lat - point.y, lon - point.x) for lon, lat in ring]
    angles = [math.remainder(b - a, math.tau) for a, b in pairwise([*bearings, bearings[0]])]
    return round(sum(angles) / math.tau)


def expected_in_tiles(way: list[Place], area: bool) -> dict[Tile, list[BaseGeometry]]:
    found: dict[Tile, list[BaseGeometry]] = defaultdict(list)
    # Segment by segment, because shapely's overlay merges stretches that a line passes twice.
    shapes = [even_odd(way)] if area else [shapely.LineString(pair) for pair in pairwise(way)]
    for shape in shapes:
        if shape.is_empty:
            continue
        west, _, east, _ = shape.bounds
        for x in range(math.floor((west + 180e7) / SIDE) - 1, math.floor((east + 180e7) / SIDE) + 2):
            for y in range(2 ** (ZOOM - 1) - 8, 2 ** (ZOOM - 1) + 8):
                box = tile_box(x, y)
                inside = shape.intersection(box)
                inside = inside if area else inside.difference(box.exterior)
                wanted = "Polygon" if area else "LineString"
                parts = [part for part in shapely.get_parts(shapely.get_parts(inside)) if part.geom_type == wanted]
                if parts:
                    found[x, y] += parts
    return found


def measures(shapes: list[BaseGeometry]) -> tuple[float, float]:
    """Ground area and length on the ellipsoid."""
    area = length = 0.0
    for part in shapes:
        degrees = shapely.transform(part, lambda units: units / 1e7)
        if part.geom_type == "Polygon":
            area += abs(GEOD.geometry_area_perimeter(shapely.geometry.polygon.orient(degrees))[0])
            length += GEOD.geometry_length(degrees.boundary)
        else:
            length += GEOD.geometry_length(degrees)
    return area, length


def assert_alike(piece: Piece, shapes: list[BaseGeometry]) -> None:
    area, length = measures(shapes)
    assert piece.area_m2 == pytest.approx(area, rel=1e-3, abs=0.01 * length), piece
    assert piece.length_m == pytest.approx(length, rel=1e-3, abs=0.02), piece
    for role, points in piece.parts:
        ring = shapely.LinearRing(points) if role in ("outer", "inner") else None
        if ring is not None and shapely.Polygon(ring).area > 1e-9:  # rounding may fold slivers
            assert ring.is_simple, piece
            assert ring.is_ccw == (role == "outer"), piece


@pytest.mark.parametrize("middle", [0, 1_800_000_000], ids=["greenwich", "antimeridian"])
@pytest.mark.parametrize("area", [False, True], ids=["lines", "areas"])
def test_ways_on_tile_corners_are_where_shapely_finds_them(tmp_path: Path, middle: int, area: bool) -> None:
    chance = random.Random(20)
    ways = [way for way in (random_way(chance, middle) for _ in range(150)) if len(way) > 2]
    lines, node = [], 0
    for number, way in enumerate(ways, 1):
        refs = []
        for lon, lat in way:
            node += 1
            lon -= 3_600_000_000 if lon > 1_800_000_000 else 0
            lines.append(f"n{node} v1 dV x{lon / 1e7:.7f} y{lat / 1e7:.7f}")
            refs.append(f"n{node}")
        tags = "Tbuilding=yes" if area else "Thighway=path"
        lines.append(f"w{number} v1 dV {tags} N{','.join(refs + refs[:1] if area else refs)}")
    opl = tmp_path / "map.opl"
    opl.write_text("\n".join(sorted(lines, key=lambda line: (line[0], int(line.split(" ")[0][1:])))) + "\n")
    found = {(piece.ref, tile): piece for tile, piece in run_tiler(opl, tmp_path / "tiles.h5")[0].all_pieces()}
    compared = 0
    for number, way in enumerate(ways, 1):
        for (x, y), shapes in expected_in_tiles(way, area).items():
            piece = found.pop((f"way/{number}", (x % 2**ZOOM, y)), None)
            size = sum(shape.area if area else shape.length for shape in shapes)
            assert piece is not None or size < NOTHING, (number, x, y, size)
            if piece is not None:
                assert_alike(piece, shapes)
                compared += 1
    assert not found
    assert compared > 1000
