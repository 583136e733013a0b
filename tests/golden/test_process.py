"""`geojepa-tiler process` on synthetic tiles; PROJ and shapely are the oracles."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import shapely
from shapely.geometry import LineString, MultiPoint, Polygon
from tiles_writer import Piece, Processed, Tile, ground_size, tile_at, tile_bounds, to_metres, write_tiles

from geojepa_cli import hints, native
from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.store import schema

PLACES = {
    "san francisco": (-122.42, 37.77),
    "stockholm": (18.07, 59.33),
    "equator": (36.8, 0.0001),
    "cape town": (18.42, -33.92),
    "fiji": (179.99, -17.8),
}
STEP_M = 0.0125  # of the z16 lattice on the equator, rounded up


#: Maximum rounding error of a stored position at zoom 16: half the diagonal of a step of 1.24 cm (1/49152 of a tile).
STORED_M = 0.009
#: The hint for an unusable input.
REBUILD = hints.run("tile", region="here")


def process(tiles: Path, *options: str) -> tuple[Processed, dict[str, int]]:
    """Run the stage. Returns its result and its counts."""
    output = tiles.with_name("processed.h5")
    summary = native.run(["process", "--input", str(tiles), "--output", str(output), *options], "process", REBUILD)
    return Processed(output), summary["counts"]


def inside(zoom: int, x: int, y: int, shares: np.ndarray) -> np.ndarray:
    """Positions in 1e-7 degrees, from fractions of the width and height of a tile."""
    west, south, east, north = tile_bounds(zoom, x, y)
    degrees = np.stack([west + shares[:, 0] * (east - west), south + shares[:, 1] * (north - south)], axis=1)
    return np.rint(degrees * 1e7).astype(np.int32)


def one_tile(tmp_path: Path, pieces: list[Piece], zoom: int = 16, place: str = "san francisco") -> Path:
    """Write a file with one tile."""
    x, y = tile_at(zoom, *PLACES[place])
    for number, piece in enumerate(pieces):
        piece.osm_id = number + 1
    return write_tiles(tmp_path / "tiles.h5", zoom, [Tile(x, y, pieces)])


def wavy_ring(random: np.random.Generator, centre: tuple[float, float], radius: float, count: int) -> np.ndarray:
    """A star-shaped ring with noise of a fifth of its radius, counter-clockwise."""
    angles = np.arange(count) * 2 * math.pi / count
    radii = radius * random.uniform(0.8, 1.0, count)
    return np.stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)], axis=1)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("zoom", "tolerance_m"), [(14, 0.001), (16, 0.01), (18, 0.01)])
def test_vertices_agree_with_proj_to_a_centimetre(tmp_path: Path, place: str, zoom: int, tolerance_m: float) -> None:
    x, y = tile_at(zoom, *PLACES[place])
    shares = np.random.default_rng(1).uniform(-0.02, 1.02, (500, 2))
    line = Piece("line", [("line", inside(zoom, x, y, shares))])
    tiles = write_tiles(tmp_path / "tiles.h5", zoom, [Tile(x, y, [line])])

    result, counts = process(tiles, "--simplify-m", "0")

    assert counts["nodes_clamped"] == 0
    expected = to_metres(zoom, x, y, line.parts[0][1])
    assert np.abs(result.piece(0).parts[0] - expected).max() < tolerance_m


def test_columns_that_process_does_not_change_are_copied(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    x, y = tile_at(16, *PLACES["stockholm"])
    point = Piece("point", [("point", inside(16, x, y, random.uniform(0, 1, (1, 2))))], "node", 7)
    whole = Piece("area", [], osm_id=8, covers_tile=True)
    tiles = write_tiles(tmp_path / "tiles.h5", 16, [Tile(x, y, [point, whole]), Tile(x + 1, y, [point])])

    result, counts = process(tiles)

    assert (counts["tiles"], counts["pieces"], counts["nodes_in"], counts["nodes_out"]) == (2, 3, 2, 2)
    assert result.attributes["kind"] == b"processed"
    assert result.attributes["zoom"] == 16
    with h5py.File(tiles) as file:
        for name, column in schema.COLUMNS.items():
            if name not in {"part/nodes"} and column.files == ("tiles", "processed"):
                assert np.array_equal(file[name][()], result.columns[name]), name
    assert set(result.columns) == {name for name, column in schema.COLUMNS.items() if "processed" in column.files}


def test_an_empty_file_stays_empty(tmp_path: Path) -> None:
    result, counts = process(write_tiles(tmp_path / "tiles.h5", 16, []))

    assert set(counts.values()) == {0}
    assert len(result) == 0
    assert result.columns["piece/edges"].tolist() == [0]


def test_a_piece_that_covers_its_tile_has_the_tile_as_box(tmp_path: Path) -> None:
    result, _ = process(one_tile(tmp_path, [Piece("area", [], covers_tile=True)]))

    piece = result.piece(0)
    east_m, north_m = ground_size(16, piece.x, piece.y)
    assert np.allclose(piece.box, [[0, 0], [east_m, 0], [east_m, north_m], [0, north_m]], atol=STORED_M)


def test_boxes_are_the_minimum_area_rectangles(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    x, y = tile_at(16, *PLACES["san francisco"])
    pieces = []
    for size in range(3, 120):
        stretch = np.array([0.2, 0.2 * random.uniform(0.05, 1)])
        turn = random.uniform(0, math.pi)
        rotate = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        shares = 0.5 + (random.uniform(-1, 1, (size, 2)) * stretch) @ rotate.T
        pieces.append(Piece("line", [("line", inside(16, x, y, shares))]))

    result, counts = process(one_tile(tmp_path, pieces))

    assert counts["boxes_grown"] == 0
    for row, piece in enumerate(pieces):
        cloud = MultiPoint(to_metres(16, x, y, piece.parts[0][1]))
        box = Polygon(result.piece(row).box)
        assert box.area == pytest.approx(shapely.minimum_rotated_rectangle(cloud).area, rel=1e-4)
        assert box.buffer(STORED_M).contains(cloud)
        assert box.exterior.is_ccw


def test_short_sides_grow_and_the_box_of_a_point_is_rotated_by_its_id(tmp_path: Path) -> None:
    x, y = tile_at(16, *PLACES["cape town"])
    place = inside(16, x, y, np.array([[0.4, 0.6]]))
    line = inside(16, x, y, np.array([[0.1, 0.1], [0.4, 0.3]]))
    pieces = [Piece("point", [("point", place)], "node") for _ in range(3)] + [Piece("line", [("line", line)])]

    result, counts = process(one_tile(tmp_path, pieces, place="cape town"), "--min-side-m", "2")

    assert counts["boxes_grown"] == 1
    boxes = [result.piece(row).box for row in range(4)]
    for row in range(3):
        assert Polygon(boxes[row]).area == pytest.approx(4, rel=1e-3)
        assert np.allclose(boxes[row].mean(axis=0), to_metres(16, x, y, place)[0], atol=STORED_M)
    assert not np.allclose(boxes[0], boxes[1], atol=0.01)
    length = np.linalg.norm(np.diff(to_metres(16, x, y, line), axis=0))
    assert Polygon(boxes[3]).area == pytest.approx(2 * length, rel=1e-3)
    for box in boxes:
        assert min(map(tuple, box[:, ::-1])) == tuple(box[0, ::-1])


@pytest.mark.parametrize("tolerance_m", [0.5, 5.0])
def test_simplified_areas_stay_valid_and_within_the_tolerance(tmp_path: Path, tolerance_m: float) -> None:
    random = np.random.default_rng(4)
    x, y = tile_at(16, *PLACES["stockholm"])
    pieces = []
    for _ in range(60):
        outer = wavy_ring(random, (0.5, 0.5), random.uniform(0.1, 0.45), random.integers(20, 300))
        # The hole follows its ring closely. Simplified separately, the two would cross.
        hole = 0.5 + (outer[::-1] - 0.5) * 0.96
        pieces.append(Piece("area", [("outer", inside(16, x, y, outer)), ("inner", inside(16, x, y, hole))]))

    result, counts = process(one_tile(tmp_path, pieces, place="stockholm"), "--simplify-m", str(tolerance_m))

    assert counts["nodes_out"] < counts["nodes_in"]
    assert counts["rings_crossing"] == 0
    assert counts["rings_refined"] > 0
    for row, piece in enumerate(pieces):
        before = [to_metres(16, x, y, points) for _, points in piece.parts]
        after = result.piece(row).parts
        polygon = Polygon(after[0], after[1:])
        assert polygon.is_valid, shapely.is_valid_reason(polygon)
        assert polygon.exterior.is_ccw
        for old, new in zip(before, after, strict=True):
            distance = shapely.hausdorff_distance(Polygon(old).exterior, Polygon(new).exterior, densify=0.05)
            assert distance <= tolerance_m + STEP_M


def test_ends_of_lines_and_clip_vertices_are_kept(tmp_path: Path) -> None:
    x, y = tile_at(16, *PLACES["san francisco"])
    line = inside(16, x, y, np.array([[0.0, 0.3], [0.2, 0.3], [0.4, 0.3], [1.0, 0.3]]))
    # The ring enters over the west side and leaves half a metre further, so both vertices are within the tolerance.
    ring = inside(16, x, y, np.array([[0.0, 0.5], [0.3, 0.4999], [0.3, 0.5012], [0.0, 0.501], [0.0, 0.5005]]))
    result, _ = process(one_tile(tmp_path, [Piece("line", [("line", line)]), Piece("area", [("outer", ring)])]))

    assert np.allclose(result.piece(0).parts[0], to_metres(16, x, y, line[[0, 3]]), atol=STEP_M)
    assert np.allclose(result.piece(1).parts[0], to_metres(16, x, y, ring[:4]), atol=STEP_M)


def visible(a: np.ndarray, b: np.ndarray, segments: list[LineString]) -> bool:
    """Returns True if the line between two vertices meets segments only in shared ends."""
    sight = LineString([a, b])
    for segment in segments:
        common = sight.intersection(segment)
        if common.is_empty:
            continue
        ends = {tuple(a), tuple(b)} & set(segment.coords)
        if common.geom_type != "Point" or common.coords[0] not in ends:
            return False
    return True


def test_visibility_edges_equal_those_of_a_loop_over_all_pairs(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    x, y = tile_at(16, *PLACES["equator"])
    pieces = []
    for _ in range(6):
        parts = [("outer", wavy_ring(random, (0.5, 0.5), 0.45, 14))]
        parts += [("inner", wavy_ring(random, (cx, 0.5), 0.06, 5)[::-1]) for cx in (0.3, 0.5, 0.7)]
        lines = [("line", random.uniform(0.3, 0.7, (3, 2))), ("point", random.uniform(0, 1, (1, 2)))]
        for members in (parts, parts + lines):
            pieces.append(Piece("relation", [(role, inside(16, x, y, shares)) for role, shares in members], "relation"))

    result, counts = process(one_tile(tmp_path, pieces, place="equator"), "--simplify-m", "0")

    assert counts["edges"] == len(result.columns["edge/ends"]) > 0
    for row in range(len(pieces)):
        piece = result.piece(row)
        # Integers, for which shapely decides crossings of segments reliably.
        lattice = [np.rint(part / piece.east_m * 49152) for part in piece.parts]
        nodes = np.concatenate(lattice)
        part_of = np.repeat(np.arange(len(lattice)), [len(part) for part in lattice])
        segments = []
        for part, role in zip(lattice, piece.roles, strict=True):
            closed = np.concatenate([part, part[:1]]) if role >= schema.ROLE["outer"] else part
            segments += [LineString(pair) for pair in pairwise(closed)]
        expected = set()
        for a in range(len(nodes)):
            others = [b for b in range(len(nodes)) if part_of[b] != part_of[a]]
            for b in sorted(others, key=lambda b: (((nodes[a] - nodes[b]) ** 2).sum(), b)):
                if visible(nodes[a], nodes[b], segments):
                    expected.add((min(a, b), max(a, b)))
                    break
        assert [tuple(edge) for edge in piece.edges.tolist()] == sorted(expected)


def test_the_number_of_threads_does_not_change_a_byte(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    x, y = tile_at(16, *PLACES["fiji"])
    tiles = []
    for column in range(40):
        rings = [wavy_ring(random, (0.5, 0.5), 0.4, 12) for _ in range(600)]
        pieces = [Piece("area", [("outer", inside(16, x - column, y, ring))]) for ring in rings]
        tiles.append(Tile(x - column, y, pieces))
    path = write_tiles(tmp_path / "tiles.h5", 16, tiles)

    contents = set()
    for threads in (1, 2, 8):
        if threads == 2:
            time.sleep(1.1)  # HDF5 would store times in seconds
        process(path, "--threads", str(threads))
        contents.add((tmp_path / "processed.h5").read_bytes())

    assert len(contents) == 1
    assert [path.name for path in tmp_path.iterdir() if "spool" in path.name] == []


@pytest.mark.parametrize(
    ("attributes", "message"),
    [({"kind": "processed"}, "has kind `processed`"), ({"schema_version": 999}, "has schema 999, this version reads")],
)
def test_a_file_of_another_layout_is_refused(tmp_path: Path, attributes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        process(write_tiles(tmp_path / "tiles.h5", 16, [], **attributes))
    assert str(caught.value.hint) == "geojepa tile --region here"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("tile/pieces", [0, 9]),
        ("piece/parts", [1, 0]),
        ("part/nodes", [0, 99]),
        ("part/role", [9]),
        ("piece/object", [5]),
        ("tile/x", [70000]),
        ("part/nodes", [0, 0]),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, column: str, value: list[int]) -> None:
    x, y = tile_at(16, *PLACES["equator"])
    piece = Piece("line", [("line", inside(16, x, y, np.array([[0.1, 0.1], [0.9, 0.9]])))])
    path = one_tile(tmp_path, [piece], place="equator")
    with h5py.File(path, "a") as file:
        file[column][...] = value
    with pytest.raises(DataError, match="damaged"):
        process(path)


@pytest.mark.parametrize("option", [("--simplify-m", "-1"), ("--min-side-m", "0"), ("--simplify-m", "nan")])
def test_invalid_options_are_refused(tmp_path: Path, option: tuple[str, str]) -> None:
    with pytest.raises(GeojepaError, match=option[0]):
        process(write_tiles(tmp_path / "tiles.h5", 16, []), *option)
