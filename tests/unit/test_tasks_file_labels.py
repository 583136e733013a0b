"""Values of points, polygons and tiles become labels as a slow loop with shapely and pyproj says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
import shapely.affinity
import shapely.geometry
from numpy.typing import NDArray
from pyproj import Geod, Transformer

from geojepa_cli.evaluate.user_vectors import place_vectors
from geojepa_cli.grid import tile_bounds, tile_numbers, tile_of
from geojepa_cli.sources.places import Places
from geojepa_cli.sources.vector_file import VectorTable
from geojepa_cli.tasks.file_labels import ValuesAtPlaces, histogram_bounds, is_binary

GEOD = Geod(ellps="WGS84")
NONE = np.empty((0, 3), np.int64)
# tiles with a gap, so that features lie outside too
TILES = np.array([[16, 34300 + i, 22600 + j] for j in range(5) for i in range(6) if (i, j) != (2, 2)], np.int64)
BOUNDS = [tile_bounds(*tile) for tile in TILES.tolist()]
WEST, SOUTH = min(b[0] for b in BOUNDS), min(b[1] for b in BOUNDS)
EAST, NORTH = max(b[2] for b in BOUNDS), max(b[3] for b in BOUNDS)


def places(kind: str, geometry: list[shapely.Geometry]) -> Places:
    return Places(kind, np.arange(len(geometry)), NONE, np.array(geometry, object))  # type: ignore[arg-type]


def random_points(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    wide, high = EAST - WEST, NORTH - SOUTH
    return np.column_stack(
        [rng.uniform(WEST - 0.1 * wide, EAST + 0.1 * wide, n), rng.uniform(SOUTH - 0.1 * high, NORTH + 0.1 * high, n)]
    )


def random_polygons(rng: np.random.Generator, n: int) -> list[shapely.Geometry]:
    """Turned rectangles, some with a hole, some of two parts, some larger than a tile."""
    found = []
    for at in random_points(rng, n):
        size = rng.uniform(0.0005, 0.009)
        shape = shapely.affinity.rotate(
            shapely.box(*(at - size), *(at + size * np.array([1.0, 0.4]))), rng.uniform(0, 90)
        )
        if rng.random() < 0.3:
            shape = shape.difference(shapely.Point(at).buffer(size / 4))
        if rng.random() < 0.3:
            shape = shapely.MultiPolygon(
                [shapely.box(at[0] + 0.02, at[1], at[0] + 0.025, at[1] + 0.003), *parts(shape)]
            )
        found.append(shape)
    return found


def parts(shape: shapely.Geometry) -> list[shapely.Polygon]:
    return list(shape.geoms) if hasattr(shape, "geoms") else [shape]


def area_m2(shape: shapely.Geometry) -> float:
    """Area on the ellipsoid, of a polygon with straight edges in degrees."""
    dense = shapely.segmentize(shape, 1e-3)
    return sum(abs(GEOD.geometry_area_perimeter(shapely.geometry.polygon.orient(one))[0]) for one in parts(dense))


@pytest.mark.parametrize("reduce", ["mean", "sum", "max"])
def test_points_are_reduced_over_the_tile_that_contains_them(reduce: str) -> None:
    rng = np.random.default_rng(1)
    at, values = random_points(rng, 60), rng.normal(size=60)
    at[:3] = [BOUNDS[0][:2], BOUNDS[0][2:], (BOUNDS[0][0], BOUNDS[0][3])]  # corners of a tile
    found, used = ValuesAtPlaces(values, places("points", list(shapely.points(at)))).reduced(TILES, reduce)
    inside = [[v for p, v in zip(at, values, strict=True) if tile_of(*p, 16) == tuple(tile)] for tile in TILES.tolist()]
    function = {"mean": np.mean, "sum": np.sum, "max": np.max}[reduce]
    np.testing.assert_allclose(found, [function(v) if v else np.nan for v in inside])
    assert np.isnan(found).any() and max(map(len, inside)) > 2
    assert len(used) == sum(map(len, inside)) < len(at)


@pytest.mark.parametrize("reduce", ["mean", "sum", "max"])
def test_polygons_across_tiles_count_by_their_area_on_the_ellipsoid(reduce: str) -> None:
    rng = np.random.default_rng(2)
    far = shapely.box(EAST + 1, NORTH, EAST + 2, NORTH + 1)
    shapes, values = [*random_polygons(rng, 5), far], rng.uniform(1, 2, 6)
    found, used = ValuesAtPlaces(values, places("polygons", shapes)).reduced(TILES, reduce)
    expected = []
    for bounds in BOUNDS:
        cut = [
            (v, area_m2(shape.intersection(shapely.box(*bounds))), area_m2(shape))
            for shape, v in zip(shapes, values, strict=True)
            if shape.intersection(shapely.box(*bounds)).area > 0
        ]
        if not cut:
            expected.append(np.nan)
        elif reduce == "mean":
            expected.append(sum(v * a for v, a, _ in cut) / sum(a for _, a, _ in cut))
        elif reduce == "sum":
            expected.append(sum(v * a / whole for v, a, whole in cut))
        else:
            expected.append(max(v for v, _, _ in cut))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert len(used) == 5 and np.isnan(found).any()


def test_the_sum_of_a_polygon_is_divided_among_its_tiles_without_loss() -> None:
    inner = shapely.box(BOUNDS[0][0] + 1e-3, BOUNDS[-1][1] + 1e-3, BOUNDS[0][2] - 1e-3, BOUNDS[0][3] - 1e-3)
    found, _ = ValuesAtPlaces(np.array([100.0]), places("polygons", [inner])).reduced(TILES, "sum")
    assert np.count_nonzero(found > 0) == 5 and np.nansum(found) == pytest.approx(100.0, rel=1e-9)


def test_polygons_that_share_only_an_edge_with_a_tile_are_not_in_it() -> None:
    found, _ = ValuesAtPlaces(np.array([1.0]), places("polygons", [shapely.box(*BOUNDS[0])])).reduced(TILES, "max")
    assert np.flatnonzero(~np.isnan(found)).tolist() in ([0], [0, 1], [0, 6]) and found[0] == 1.0
    mean, _ = ValuesAtPlaces(np.array([1.0]), places("polygons", [shapely.box(*BOUNDS[0])])).reduced(TILES, "sum")
    assert mean[0] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["points", "polygons"])
def test_the_nearest_feature_to_the_centre_of_every_tile(kind: str) -> None:
    rng = np.random.default_rng(3)
    shapes = list(shapely.points(random_points(rng, 12))) if kind == "points" else random_polygons(rng, 6)
    values = np.arange(len(shapes), dtype=float)
    found, _ = ValuesAtPlaces(values, places(kind, shapes)).reduced(TILES, "nearest")
    forward = Transformer.from_crs("OGC:CRS84", "EPSG:3857", always_xy=True)
    flat = [shapely.transform(s, lambda xy: np.column_stack(forward.transform(*xy.T))) for s in shapes]
    for bounds, value in zip(BOUNDS, found, strict=True):
        corners = forward.transform([bounds[0], bounds[2]], [bounds[1], bounds[3]])
        centre = shapely.Point(np.mean(corners[0]), np.mean(corners[1]))
        assert value == values[int(np.argmin([centre.distance(shape) for shape in flat]))]
        if kind == "points":  # the plane distance orders as the geodesic distance does
            lonlat = forward.transform(centre.x, centre.y, direction="INVERSE")
            metres = [GEOD.inv(*lonlat, s.x, s.y)[2] for s in shapes]
            assert metres[int(value)] <= min(metres) * 1.001
    assert not np.isnan(found).any() and len(set(found.tolist())) > 3


def test_of_features_at_the_same_distance_the_first_counts() -> None:
    point = shapely.Point(WEST, SOUTH)
    found, _ = ValuesAtPlaces(np.array([5.0, 6.0]), places("points", [point, point])).reduced(TILES, "nearest")
    assert set(found.tolist()) == {5.0}


def test_values_of_tiles_are_taken_as_they_are() -> None:
    rows = np.array([TILES[4], [16, 0, 0], TILES[0]], np.int64)
    table = ValuesAtPlaces(np.array([1.0, 2.0, 3.0]), Places("tiles", np.arange(3), rows, np.empty(0, object)))
    found, used = table.reduced(TILES, "mean")
    assert found[0] == 3.0 and found[4] == 1.0 and np.isnan(np.delete(found, [0, 4])).all()
    assert used.tolist() == [0, 2]


def test_tiles_of_many_points_are_those_of_each_point() -> None:
    rng = np.random.default_rng(4)
    at = np.column_stack([rng.uniform(-180, 180, 300), rng.uniform(-90, 90, 300)])
    edges = [b[i] for b in BOUNDS for i in (0, 2)], [b[i] for b in BOUNDS for i in (3, 1)]
    at = np.vstack([at, np.transpose(edges), [(-180, 85.06), (180, -85.06), (180, 0), (0, 90)]])
    for zoom in (0, 14, 16, 24):
        x, y = tile_numbers(at[:, 0], at[:, 1], zoom)
        assert list(zip(x.tolist(), y.tolist(), strict=True)) == [tile_of(*point, zoom)[1:] for point in at]


def test_labels_are_binary_only_if_the_reduction_keeps_them_so() -> None:
    values = np.array([0.0, 1.0, 1.0])
    assert is_binary(values, "tiles", "mean") and is_binary(values, "points", "max")
    assert not is_binary(values, "points", "mean") and not is_binary(values + 1, "points", "max")


def test_the_bins_of_a_histogram_hold_similar_numbers_of_values() -> None:
    values = np.random.default_rng(0).lognormal(size=4000)
    bounds = histogram_bounds(values)
    counts = np.bincount(np.searchsorted(bounds, values, side="left"), minlength=len(bounds) + 1)
    assert sorted(bounds) == list(bounds) and (np.abs(counts[1:] - 500) < 30).all()
    assert histogram_bounds(np.array([7.0])) == (7.0,)


def vector_table(kind: str, shapes: list[shapely.Geometry]) -> VectorTable:
    vectors = np.random.default_rng(5).normal(size=(len(shapes), 3)).astype(np.float32)
    return VectorTable(Path("a.parquet"), vectors, places(kind, shapes))


def test_vectors_of_points_belong_to_the_tile_around_them_and_are_averaged() -> None:
    at = random_points(np.random.default_rng(6), 50)
    table = vector_table("points", list(shapely.points(at)))
    both = np.vstack([TILES, TILES[:2]])  # two regions share two tiles
    placed = place_vectors(table, both)
    for tile, vector in zip(placed.tiles.tolist(), placed.vectors, strict=True):
        rows = [row for row, point in enumerate(at) if tile_of(*point, 16) == tuple(both[tile].tolist())]
        np.testing.assert_allclose(vector, table.vectors[rows].mean(0), rtol=1e-6)
    wanted = {tile_of(*point, 16) for point in at}
    assert placed.tiles.tolist() == [i for i, tile in enumerate(both.tolist()) if tuple(tile) in wanted]
    with pytest.raises(ValueError, match="no vector"):
        placed.read(np.setdiff1d(np.arange(len(both)), placed.tiles)[:1])


def test_vectors_of_polygons_belong_to_the_tiles_whose_centres_they_contain() -> None:
    shapes = random_polygons(np.random.default_rng(7), 15)
    table = vector_table("polygons", shapes)
    placed = place_vectors(table, TILES)
    back = Transformer.from_crs("EPSG:3857", "OGC:CRS84", always_xy=True)
    forward = Transformer.from_crs("OGC:CRS84", "EPSG:3857", always_xy=True)
    found = dict(zip(placed.tiles.tolist(), placed.vectors, strict=True))
    for tile, bounds in enumerate(BOUNDS):
        xs, ys = forward.transform([bounds[0], bounds[2]], [bounds[1], bounds[3]])
        centre = shapely.Point(*back.transform(np.mean(xs), np.mean(ys)))
        rows = [row for row, shape in enumerate(shapes) if shape.contains(centre)]
        assert bool(rows) == (tile in found)
        if rows:
            np.testing.assert_allclose(found[tile], table.vectors[rows].mean(0), rtol=1e-5)
    assert found
