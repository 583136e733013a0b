"""`process` on real tiles against an oracle that shares no code with it: PROJ projects, shapely measures."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely
from tiles_reader import Piece, Tiles, run_tiler
from tiles_writer import Processed, ProcessedPiece, plane

from geojepa_cli import native

TOLERANCE_M = 0.5
LATTICE = 49152  # steps of a tile's east side
SHORTEST_SIDE_M = 1.5
SAMPLE = 1500
#: Few and many relations, holes, overlapping buildings; tiles of over a thousand pieces.
EXTRACTS = ("harrisburg", "helsinki-center", "san-francisco-downtown", "liechtenstein")

Run = tuple[Tiles, Processed, dict[str, int]]
Pair = tuple[list[np.ndarray], Piece, ProcessedPiece]


@pytest.fixture(scope="module", params=EXTRACTS)
def run(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One extract, tiled and processed."""
    folder = tmp_path_factory.mktemp(request.param)
    tiles, _ = run_tiler(shared / "osm" / f"{request.param}.osm.pbf", folder / "tiles.h5")
    arguments = ["--input", str(folder / "tiles.h5"), "--output", str(folder / "processed.h5")]
    summary = native.run(["process", *arguments, "--simplify-m", str(TOLERANCE_M)], "process")
    return tiles, Processed(folder / "processed.h5"), summary["counts"]


@pytest.fixture(scope="module")
def sample(run: Run) -> list[Pair]:
    """Pieces at random, and every piece of more than ten parts: parts before, in metres; the piece before and after."""
    tiles, processed, _ = run
    chosen = set(random.Random(1).sample(range(len(processed)), min(SAMPLE, len(processed))))
    pairs = []
    for row, (name, before) in enumerate(tiles.all_pieces()):
        if row in chosen or len(before.parts) > 10:
            frame = plane(16, *name)
            metres = [
                np.stack(frame.transform(part[:, 0], part[:, 1], np.zeros(len(part)))[:2], axis=1)
                for _, part in before.parts
            ]
            pairs.append((metres, before, processed.piece(row)))
    return pairs


def polygons(roles: list[str], parts: list[np.ndarray]) -> list[shapely.Polygon]:
    """Outer rings with the inner ones that follow them."""
    rings: list[list[np.ndarray]] = []
    for role, part in zip(roles, parts, strict=True):
        if role == "outer":
            rings.append([part])
        elif role == "inner":
            rings[-1].append(part)
    return [shapely.Polygon(outer, inner) for outer, *inner in rings]


def least_box_area(points: np.ndarray) -> float:
    """Area of the smallest rectangle along an edge of the hull; shapely's own is off a hundredfold on some hulls."""
    hull = shapely.MultiPoint(points).convex_hull
    if hull.geom_type != "Polygon":
        return 0.0
    corners = np.asarray(hull.exterior.coords)
    edges = np.diff(corners, axis=0)
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    return float((np.ptp(corners @ along.T, axis=0) * np.ptp(corners @ across.T, axis=0)).min())


def outline(role: str, part: np.ndarray) -> shapely.Geometry:
    """A part as the line or point that it is."""
    if role == "point":
        return shapely.Point(part[0])
    return shapely.LineString(part) if role == "line" else shapely.LinearRing(part)


def test_every_piece_keeps_its_parts_and_their_roles(run: Run) -> None:
    tiles, processed, counts = run
    assert counts["nodes_clamped"] == 0
    assert counts["nodes_out"] == len(processed.units) < counts["nodes_in"]
    assert np.array_equal(tiles.columns["part/role"], processed.columns["part/role"])
    sizes = np.diff(processed.columns["part/nodes"].astype(np.int64))
    before = np.diff(tiles.columns["part/nodes"].astype(np.int64))
    assert (sizes >= np.array([1, 2, 3, 3])[processed.columns["part/role"]]).all()
    assert (sizes <= before).all()


def test_simplified_parts_stay_within_the_tolerance(sample: list[Pair]) -> None:
    for metres, before, after in sample:
        for (role, _), old, new in zip(before.parts, metres, after.parts, strict=True):
            distance = shapely.hausdorff_distance(outline(role, old), outline(role, new), densify=0.1)
            assert distance <= TOLERANCE_M, (before.ref, role)


def test_valid_areas_stay_valid(sample: list[Pair]) -> None:
    checked = 0
    for metres, before, after in sample:
        roles = [role for role, _ in before.parts]
        for old, new in zip(polygons(roles, metres), polygons(roles, after.parts), strict=True):
            if old.is_valid and old.area > 1:
                assert new.is_valid, (before.ref, shapely.is_valid_reason(new))
                assert new.exterior.is_ccw
                assert not any(hole.is_ccw for hole in new.interiors)
                checked += 1
    assert checked > 100


def test_boxes_are_the_smallest_rectangles(sample: list[Pair]) -> None:
    checked = 0
    for metres, before, after in sample:
        if before.covers_tile:
            continue
        points = np.concatenate(metres)
        box = shapely.Polygon(after.box)
        assert box.buffer(0.01).contains(shapely.MultiPoint(points)), before.ref
        sides = np.linalg.norm(np.diff(after.box[:3], axis=0), axis=1)
        assert sides.min() >= SHORTEST_SIDE_M - 0.001, before.ref
        if sides.min() > SHORTEST_SIDE_M + 0.001:
            assert box.area == pytest.approx(least_box_area(points), rel=0.001), before.ref
            checked += 1
    assert checked > 100


def meetings(sights: np.ndarray, lines: np.ndarray) -> Iterator[tuple[np.ndarray, int, shapely.Geometry]]:
    """(line of sight, row of the line it meets, what they have in common). A sight of no length is a point."""
    is_point = (sights[:, 0] == sights[:, 1]).all(axis=1)
    shapes = np.where(is_point, shapely.points(sights[:, 0]), shapely.linestrings(sights))
    of_sight, of_line = shapely.STRtree(lines).query(shapes, predicate="intersects")
    common = shapely.intersection(shapes[of_sight], lines[of_line])
    for sight, line, place in zip(of_sight, of_line, common, strict=True):
        yield sights[sight], int(line), place


def test_visibility_edges_join_two_parts_and_cross_none(sample: list[Pair]) -> None:
    checked = 0
    for _, before, after in sample:
        if len(after.parts) < 2:
            assert len(after.edges) == 0
            continue
        # on whole numbers shapely's answers are exact enough to tell a shared end from a crossing
        lattice = [np.rint(part / after.east_m * LATTICE) for part in after.parts]
        nodes = np.concatenate(lattice)
        part_of = np.repeat(np.arange(len(lattice)), [len(part) for part in lattice])
        assert (part_of[after.edges[:, 0]] != part_of[after.edges[:, 1]]).all(), before.ref
        assert (after.edges[:, 0] < after.edges[:, 1]).all()
        segments = []
        for (role, _), part in zip(before.parts, lattice, strict=True):
            closed = np.concatenate([part, part[:1]]) if role in {"outer", "inner"} else part
            segments += [np.stack(pair) for pair in pairwise(closed)]
        lines = shapely.linestrings(np.stack(segments)) if segments else np.zeros(0, object)
        for sight, line, place in meetings(nodes[after.edges], lines):
            ends = set(map(tuple, sight)) & set(lines[line].coords)
            assert place.geom_type == "Point" and place.coords[0] in ends, (before.ref, "meets a part")
        checked += len(after.edges)
    assert checked > 100
