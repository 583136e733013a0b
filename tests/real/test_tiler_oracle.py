"""The native binary against `geometry_oracle`, which shares no code with it.

`pytest -m "" -rP tests/real/test_tiler_oracle.py` prints what was compared, and the largest differences, by extract.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
import shapely
from geometry_oracle import ZOOM, Clipped, Extract, Tile, tile_of
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry
from tiles_reader import Piece, Tiles, run_tiler
from tiles_writer import Processed, plane

from geojepa_cli import native

TOLERANCE_M = 0.5  # of the simplification
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
    """Results on the tiles of an extract: compared pairs, errors, and the largest differences of the rest."""

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
    """Tiles that hold a node, tiles that the binary wrote and their neighbours, in turn; fewer where all are taken."""
    chance = random.Random(7)
    nodes = sorted({tile_of(*point) for point in oracle.points.values()})
    written = sorted(tiles.tile_rows)
    neighbours = [(x + 1, y) for x, y in written]
    orders = [chance.sample(some, len(some)) for some in (nodes, written, neighbours)]
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
