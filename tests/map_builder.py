"""Small maps with known answers for the tests of the tiler, drawn in tiles around tile (X, Y)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import osmium
import pytest
import shapely
from pyproj import Geod
from tiles_reader import Piece, Tiles, run_tiler

#: The tile around which maps are drawn.
ZOOM = 16
X, Y = 18052, 25957
GEOD = Geod(ellps="WGS84")
#: Tolerance of areas in square degrees: a perimeter of 0.02 degrees with vertices rounded to 1e-7.
SLIVER = 2e-9


def edge_longitude(x: float) -> float:
    """Longitude of the west edge of column `x`, in degrees."""
    return x / 2**ZOOM * 360 - 180


def edge_latitude(y: float) -> float:
    """Latitude of the north edge of row `y`, in degrees."""
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / 2**ZOOM))))


def at(x: float, y: float) -> tuple[float, float]:
    """Longitude and latitude of a place in tiles. (0.5, 0.5) is the middle of tile (X, Y); y runs southwards."""
    return edge_longitude(X + x), edge_latitude(Y + y)


def box(dx: int = 0, dy: int = 0) -> shapely.Polygon:
    """The tile (X + dx, Y + dy) as a rectangle in degrees."""
    west, north = at(dx, dy)
    east, south = at(dx + 1, dy + 1)
    return shapely.box(west, south, east, north)


class Map:
    """Builds a map as OPL lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.next_node = 1

    @staticmethod
    def tags(tags: dict[str, str]) -> str:
        return "T" + ",".join(f"{key}={value.replace(' ', '%20%')}" for key, value in tags.items())

    def node(self, place: tuple[float, float], number: int = 0, version: int = 1, **tags: str) -> int:
        """Add a node. Returns its id, which is `number` where that is not 0."""
        number = number or self.next_node
        self.next_node = max(self.next_node, number + 1)
        lon, lat = at(*place)
        self.lines.append(f"n{number} v{version} dV {self.tags(tags)} x{lon:.7f} y{lat:.7f}")
        return number

    def way(self, number: int, places: Sequence[tuple[float, float] | int], close: bool = False, **tags: str) -> int:
        """Add a way through places, for which it adds nodes, or ids of nodes."""
        refs = [place if isinstance(place, int) else self.node(place) for place in places]
        refs += refs[:1] if close else []
        nodes = ",".join(f"n{ref}" for ref in refs)
        version = tags.pop("version", "1")
        self.lines.append(f"w{number} v{version} dV {self.tags(tags)} N{nodes}")
        return number

    def relation(self, number: int, members: list[str], **tags: str) -> int:
        """Add a relation with members such as `w1@outer`."""
        self.lines.append(f"r{number} v1 dV {self.tags(tags)} M{','.join(members)}")
        return number

    def write(self, path: Path, keep_order: bool = False) -> Path:
        """Write the map, sorted by type and id unless `keep_order`. The suffix of `path` is the format."""
        order = self.lines if keep_order else sorted(self.lines, key=type_and_number)
        opl = path.with_suffix(".opl")
        opl.write_text("\n".join(order) + "\n")
        path.unlink(missing_ok=True)
        with osmium.SimpleWriter(str(path)) as writer:
            for item in osmium.FileProcessor(opl):
                writer.add(item)
        return path


def type_and_number(line: str) -> tuple[int, int]:
    """Sort key of an OPL line: by type, then id."""
    return "nwr".index(line[0]), int(line.split(" ")[0][1:])


def tile(tmp_path: Path, world: Map, *options: str) -> Tiles:
    """Run the tiler on a map."""
    return run_tiler(world.write(tmp_path / "map.osm.pbf"), tmp_path / "tiles.h5", *options)[0]


def the(tiles: Tiles, ref: str, dx: int = 0, dy: int = 0) -> Piece:
    """The piece of an object in tile (X + dx, Y + dy)."""
    return tiles.pieces((X + dx, Y + dy))[ref]


def where(tiles: Tiles, ref: str) -> set[tuple[int, int]]:
    """The tiles of an object, relative to (X, Y)."""
    return {(x - X, y - Y) for (x, y), piece in tiles.all_pieces() if piece.ref == ref}


def ground_area(area: shapely.Polygon) -> float:
    """Area on the ellipsoid in square metres."""
    return abs(GEOD.geometry_area_perimeter(shapely.geometry.polygon.orient(area))[0])


def assert_close(found: float, expected: float) -> None:
    assert found == pytest.approx(expected, rel=1e-4, abs=0.005)


def square(low: float, high: float, clockwise: bool = False) -> list[tuple[float, float]]:
    """The corners of a square whose coordinates range from `low` to `high`, in tiles."""
    corners = [(low, low), (low, high), (high, high), (high, low)]
    return corners[::-1] if clockwise else corners


def polygon(*rings: list[tuple[float, float]]) -> shapely.Polygon:
    """An outer ring and its holes, in tiles, as a polygon in degrees."""
    outer, *holes = [[at(*place) for place in ring] for ring in rings]
    return shapely.Polygon(outer, holes)


def mixed_map() -> Map:
    """A map with nodes, ways, a multipolygon and a route."""
    world = Map()
    a, b = world.node((0.4, 0.4), highway="crossing"), world.node((1.4, 0.4), amenity="bench")
    world.way(5, [a, (0.9, 0.5), b], highway="primary", name="Main")
    world.way(3, square(0.2, 1.8), close=True)
    world.way(4, square(0.6, 1.4), close=True, building="yes")
    world.relation(9, ["w3@outer", "w4@inner"], type="multipolygon", natural="wood")
    world.relation(8, ["w5@", f"n{a}@via", "w4@to"], type="route", route="bus")
    return world
