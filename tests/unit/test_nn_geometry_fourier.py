"""Fourier transform of geometries, compared with written-out formulas and with numerical integration."""

from __future__ import annotations

import math

import geometry_batches
import numpy as np
import pytest
import shapely
import torch
from geometry_batches import INNER, LINE, OUTER, POINT, batch_of, random_shape, star
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import affine_transform, rotate, scale, translate

from geojepa_cli.nn.geometry import fourier
from geojepa_cli.nn.geometry.fourier import FourierGeometry, fourier_transform, half_plane

FREQUENCIES = np.array([[0.5, 0.0], [0.0, 1.0], [1.3, -0.7], [2.0, 2.0], [-3.1, 5.4], [8.0, -8.0], [0.0, 31.0]])
FEW = settings(max_examples=15, deadline=None)
SEEDS = st.integers(0, 10_000)
KINDS = st.sampled_from(["points", "lines", "areas"])


def transform(*entities: shapely.Geometry | list[geometry_batches.Part], at: np.ndarray = FREQUENCIES) -> np.ndarray:
    """The transform of every entity, from the code under test. complex [T, F]"""
    return fourier_transform(batch_of(entities), torch.from_numpy(at)).numpy()


def wave(xy: np.ndarray, at: np.ndarray = FREQUENCIES) -> np.ndarray:
    """The function exp(-2πi f·x). [n, F]"""
    return np.exp(-2j * math.pi * xy @ at.T)


def integrate(shape: shapely.Geometry, at: np.ndarray = FREQUENCIES, order: int = 80) -> np.ndarray:
    """The mean of the wave over points, lines or areas, by Gauss-Legendre quadrature. [F]"""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    nodes, weights = (nodes + 1) / 2, weights / 2
    if shape.geom_type in ("Point", "MultiPoint"):
        return wave(shapely.get_coordinates(shape), at).mean(0)
    total = np.zeros(len(at), complex)
    if shape.geom_type in ("LineString", "MultiLineString"):
        for line in shapely.get_parts(shape):
            for a, b in zip(line.coords[:-1], line.coords[1:], strict=True):
                total += math.dist(a, b) * weights @ wave(np.array(a) + nodes[:, None] * np.subtract(b, a), at)
        return total / shape.length
    u, v = np.meshgrid(nodes, nodes)
    for triangle in shapely.get_parts(shapely.constrained_delaunay_triangles(shape)):
        a, b, c = np.array(triangle.exterior.coords)[:3]
        xy = a + u.reshape(-1, 1) * (b - a) + (u * v).reshape(-1, 1) * (c - b)
        total += 2 * triangle.area * (np.outer(weights, weights) * u).ravel() @ wave(xy, at)
    return total / shape.area


def test_a_point_is_a_wave_and_several_points_are_their_mean() -> None:
    a, b = np.array([[0.25, 0.7]]), np.array([[0.9, 0.1]])
    expected = np.exp(-2j * math.pi * (FREQUENCIES[:, 0] * 0.25 + FREQUENCIES[:, 1] * 0.7))
    single, parts, one_part = transform([(POINT, a)], [(POINT, a), (POINT, b)], [(POINT, np.concatenate([a, b]))])
    np.testing.assert_allclose(single, expected, atol=1e-13)
    np.testing.assert_allclose(parts, (wave(a)[0] + wave(b)[0]) / 2, atol=1e-13)
    np.testing.assert_array_equal(one_part, parts)


def test_a_segment_is_a_wave_at_its_midpoint_times_a_sinc() -> None:
    a, b = np.array([0.1, 0.3]), np.array([0.6, 0.9])
    expected = wave((a[None] + b) / 2)[0] * np.sinc(FREQUENCIES @ (b - a))
    np.testing.assert_allclose(transform(shapely.LineString([a, b]))[0], expected, atol=1e-13)


@pytest.mark.parametrize("side", [1.0, 0.3, 1e-2, 1e-5, 1e-8])
def test_a_box_is_a_product_of_two_sincs(side: float) -> None:
    at = np.concatenate([FREQUENCIES, [[0.0, 0.0], [1e-9, 0.0], [1e-5, -1e-7], [1e-200, 0.0]]])
    width, height = side, side / 3
    box = shapely.box(0.2, 0.1, 0.2 + width, 0.1 + height)
    (west, south, east, north) = box.bounds
    expected = np.sinc(at[:, 0] * (east - west)) * np.sinc(at[:, 1] * (north - south))
    expected = expected * wave(np.array([[(west + east) / 2, (south + north) / 2]]), at)[0]
    np.testing.assert_allclose(transform(box, at=at)[0], expected, atol=2e-13)


@FEW
@given(KINDS, SEEDS)
def test_the_transform_is_the_numerical_integral_of_the_wave(kind: str, seed: int) -> None:
    shape = random_shape(kind, seed)
    np.testing.assert_allclose(transform(shape)[0], integrate(shape), atol=1e-10)


def test_an_area_is_the_mean_of_the_wave_over_a_raster_of_the_polygon() -> None:
    shape = random_shape("areas", 3)
    x, y = (axis.ravel() for axis in np.meshgrid((np.arange(1000) + 0.5) / 1000, (np.arange(1000) + 0.5) / 1000))
    inside = shapely.contains_xy(shape, x, y)
    expected = wave(np.stack([x[inside], y[inside]], 1)).mean(0)
    np.testing.assert_allclose(transform(shape)[0], expected, atol=2e-3)


@FEW
@given(KINDS, SEEDS, st.floats(-2, 2), st.floats(-2, 2))
def test_moving_multiplies_by_a_phase(kind: str, seed: int, dx: float, dy: float) -> None:
    shape = random_shape(kind, seed)
    phase = np.exp(-2j * math.pi * (FREQUENCIES @ [dx, dy]))
    here, there = transform(shape, translate(shape, dx, dy))
    np.testing.assert_allclose(there, here * phase, atol=1e-11)
    assert np.abs(there).max() > 1e-3


@FEW
@given(KINDS, SEEDS, st.floats(-math.pi, math.pi))
def test_turning_turns_the_frequencies(kind: str, seed: int, angle: float) -> None:
    shape = random_shape(kind, seed)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned = rotate(shape, angle, origin=(0, 0), use_radians=True)
    np.testing.assert_allclose(transform(turned), transform(shape, at=FREQUENCIES @ turn), atol=1e-11)


@FEW
@given(KINDS, SEEDS, st.floats(1e-3, 4))
def test_scaling_scales_the_frequencies(kind: str, seed: int, factor: float) -> None:
    shape = random_shape(kind, seed)
    scaled = scale(shape, factor, factor, origin=(0, 0))
    np.testing.assert_allclose(transform(scaled), transform(shape, at=FREQUENCIES * factor), atol=1e-11)


@FEW
@given(st.sampled_from(["points", "areas"]), SEEDS)
def test_shearing_points_and_areas_shears_the_frequencies(kind: str, seed: int) -> None:
    shape, matrix = random_shape(kind, seed), np.array([[1.2, 0.4], [-0.3, 0.7]])
    sheared = affine_transform(shape, [*matrix.ravel(), 0, 0])
    np.testing.assert_allclose(transform(sheared), transform(shape, at=FREQUENCIES @ matrix), atol=1e-11)


@FEW
@given(SEEDS)
def test_a_hole_is_subtracted_from_the_outer_ring(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outer, inner = star(rng, (0.5, 0.5), 0.4, 11), star(rng, (0.5, 0.5), 0.15, 6)
    whole, hole = shapely.Polygon(outer), shapely.Polygon(inner)
    holed, of_whole, of_hole = transform([(OUTER, outer), (INNER, inner)], whole, hole)
    expected = (whole.area * of_whole - hole.area * of_hole) / (whole.area - hole.area)
    np.testing.assert_allclose(holed, expected, atol=1e-12)
    assert np.abs(holed - of_whole).max() > 1e-3


@FEW
@given(SEEDS, st.integers(0, 10), st.booleans(), st.booleans())
def test_direction_and_first_node_of_a_ring_do_not_matter(seed: int, shift: int, flip: bool, flip_hole: bool) -> None:
    rng = np.random.default_rng(seed)
    outer, inner = star(rng, (0.5, 0.5), 0.4, 11), star(rng, (0.5, 0.5), 0.15, 6)
    changed = np.roll(outer, shift, axis=0)[:: -1 if flip else 1], inner[:: -1 if flip_hole else 1]
    first, second = transform(
        [(OUTER, outer), (INNER, inner)],
        [(INNER, changed[1]), (OUTER, changed[0])],
    )
    np.testing.assert_allclose(first, second, atol=1e-12)


@FEW
@given(KINDS, SEEDS)
def test_low_frequencies_give_mass_1_and_the_centroid(kind: str, seed: int) -> None:
    shape, step = random_shape(kind, seed), 1e-5
    zero, right, up = transform(shape, at=np.array([[0, 0], [step, 0], [0, step]]))[0]
    assert abs(zero - 1) < 1e-15
    slope = np.array([right.imag, up.imag]) / (-2 * math.pi * step)
    np.testing.assert_allclose(slope, shape.centroid.coords[0], atol=1e-8)


def test_only_the_highest_dimension_of_a_mixed_entity_counts() -> None:
    areas, lines, points = (random_shape(kind, 5) for kind in ("areas", "lines", "points"))
    flat, thin = [(OUTER, np.array([[0.1, 0.1], [0.4, 0.2], [0.7, 0.3]]))], [(LINE, np.full((3, 2), 0.3))]
    mixed = shapely.GeometryCollection([points, areas, lines]), shapely.GeometryCollection([points, lines])
    np.testing.assert_allclose(transform(*mixed), transform(areas, lines), atol=1e-12)
    # a ring without area is a line there and back, and a line without length is its nodes
    back = shapely.LineString([[0.1, 0.1], [0.4, 0.2], [0.7, 0.3], [0.1, 0.1]])
    together = shapely.MultiLineString([*lines.geoms, back])
    spots = shapely.MultiPoint([*points.geoms, *[shapely.Point(0.3, 0.3)] * 3])
    mixed_flat, mixed_thin = [*geometry_batches.parts_of(lines), *flat], [*geometry_batches.parts_of(points), *thin]
    np.testing.assert_allclose(transform(mixed_flat, mixed_thin), transform(together, spots), atol=1e-12)
    np.testing.assert_allclose(transform(mixed_flat)[0], integrate(together), atol=1e-10)


DEGENERATE = {
    "ring of equal nodes": ([(OUTER, np.full((4, 2), 0.5))], shapely.Point(0.5, 0.5)),
    "ring of one node": ([(OUTER, np.array([[0.5, 0.25]]))], shapely.Point(0.5, 0.25)),
    "ring of two nodes": ([(OUTER, np.array([[0.1, 0.1], [0.4, 0.3]]))], shapely.LineString([[0.1, 0.1], [0.4, 0.3]])),
    "line of equal nodes": ([(LINE, np.full((2, 2), 0.5))], shapely.Point(0.5, 0.5)),
    "line of one node": ([(LINE, np.array([[0.5, 0.5]]))], shapely.Point(0.5, 0.5)),
    "line with repeated nodes": (
        [(LINE, np.array([[0.1, 0.1], [0.1, 0.1], [0.4, 0.3], [0.4, 0.3]]))],
        shapely.LineString([[0.1, 0.1], [0.4, 0.3]]),
    ),
    "ring with repeated nodes": (
        [(OUTER, np.array([[0, 0], [0, 0], [1, 0], [1, 1], [1, 1], [0, 1]]))],
        shapely.box(0, 0, 1, 1),
    ),
    "ring with a spike": (
        [(OUTER, np.array([[0, 0], [1, 0], [1, 1], [1, 2], [1, 1], [0, 1]]))],
        shapely.box(0, 0, 1, 1),
    ),
    "hole as large as the ring": (
        [(role, np.array([[0, 0], [1, 0], [1, 1], [0, 1]])) for role in (OUTER, INNER)],
        shapely.LineString([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]),
    ),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_a_degenerate_geometry_is_the_simpler_geometry_that_it_covers(case: str) -> None:
    parts, same = DEGENERATE[case]
    np.testing.assert_allclose(transform(parts)[0], integrate(same), atol=1e-10)


@pytest.mark.parametrize("width", [1e-3, 1e-5, 1e-7, 1e-9, 1e-11, 1e-30])
def test_a_narrow_strip_approaches_the_line_along_it(width: float) -> None:
    ring = np.array([[0.1, 0.2], [0.9, 0.2], [0.9, 0.2 + width], [0.1, 0.2 + width]])
    line = shapely.LineString([[0.1, 0.2], [0.9, 0.2]])
    np.testing.assert_allclose(transform([(OUTER, ring)]), transform(line), atol=1e-6 + 100 * width)


def test_rings_that_contradict_their_roles_give_values_of_at_most_1() -> None:
    far = np.array([[5, 5], [5.99, 5], [5.99, 6], [5, 6]])
    bow_tie = np.array([[0, 0], [1, 1.01], [1, 0], [0, 1]])
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    found = transform([(OUTER, square), (INNER, far)], [(OUTER, bow_tie)], [(INNER, square)])
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1 + 1e-12
    np.testing.assert_allclose(found[2], integrate(shapely.LineString([*square, square[0]])), atol=1e-10)


def test_an_entity_does_not_depend_on_the_rest_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [random_shape(kind, seed) for seed in range(4) for kind in ("areas", "points", "lines")]
    encoder = FourierGeometry()
    whole = encoder(batch_of(shapes))
    assert torch.equal(encoder(batch_of(shapes)), whole)
    assert torch.equal(encoder(batch_of(shapes[::-1])), whole.flip(0))
    assert torch.equal(torch.cat([encoder(batch_of([shape])) for shape in shapes]), whole)
    monkeypatch.setattr(fourier, "CHUNK_VALUES", 3 * len(encoder.frequencies))
    assert torch.equal(encoder(batch_of(shapes)), whole)


def test_no_temporary_tensor_is_larger_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    terms = {name: getattr(fourier, name) for name in ("_line_terms", "_area_terms")}
    for name, function in terms.items():
        monkeypatch.setattr(fourier, name, lambda *a, f=function: sizes.append((r := f(*a)).numel()) or r)
    monkeypatch.setattr(fourier, "CHUNK_VALUES", 1000)
    rng = np.random.default_rng(0)
    transform(shapely.Polygon(star(rng, (0.5, 0.5), 0.4, 500)), shapely.LineString(rng.uniform(0, 1, (500, 2))))
    assert max(sizes) <= 1000
    assert sum(sizes) == 1000 * len(FREQUENCIES)


def test_frequencies_are_a_geometric_series_and_one_of_each_opposite_pair() -> None:
    grid = half_plane(0.5, 32.0, 7)
    axis = [0.5, 1, 2, 4, 8, 16, 32]
    np.testing.assert_allclose(grid[:7], [[w, 0] for w in axis], rtol=1e-14)
    assert sorted({round(abs(float(f)), 9) for f in grid.ravel()}) == [0, *axis]
    pairs = {(round(x, 9), round(y, 9)) for x, y in [*grid.tolist(), *(-grid).tolist()]}
    assert len(pairs) == 2 * len(grid) == 15 * 15 - 1


def test_vectors_are_magnitudes_real_and_imaginary_parts() -> None:
    encoder = FourierGeometry(lowest=1, highest=4, steps=3)
    shape = random_shape("areas", 1)
    vectors = encoder(batch_of([shape, translate(shape, 0.1, -0.05)], dtype=torch.float32))
    assert (encoder.name, encoder.dim, vectors.shape, vectors.dtype) == ("fourier", 72, (2, 72), torch.float32)
    magnitude, real, imag = vectors.double().split(24, dim=1)
    expected = integrate(shape, encoder.frequencies.numpy())
    np.testing.assert_allclose(real[0] + 1j * imag[0], expected, atol=1e-5)
    np.testing.assert_allclose(magnitude[0], np.abs(expected), atol=1e-5)
    np.testing.assert_allclose(magnitude[1], magnitude[0], atol=1e-5)
    assert (real[1] - real[0]).abs().max() > 0.1


def test_houses_of_5_10_and_20_m_and_roads_of_250_and_500_m_differ_clearly() -> None:
    tile_m = 480
    houses = [shapely.box(0.5, 0.5, 0.5 + side / tile_m, 0.5 + side / tile_m) for side in (5, 10, 20)]
    roads = [shapely.LineString([[0, 0.5], [length / tile_m, 0.5]]) for length in (250, 500)]
    encoder = FourierGeometry()
    magnitude = encoder(batch_of([*houses, *roads]))[:, : len(encoder.frequencies)]
    for first, second in ((0, 1), (1, 2), (3, 4)):
        assert (magnitude[first] - magnitude[second]).abs().max() > 0.3


def test_an_entity_without_nodes_and_an_empty_batch_are_encoded() -> None:
    encoder = FourierGeometry()
    point = shapely.Point(0.2, 0.4)
    nothing: list[geometry_batches.Part] = []
    vectors = encoder(batch_of([nothing, point, nothing, [(LINE, np.empty((0, 2)))]]))
    assert torch.equal(vectors[1:2], encoder(batch_of([point])))
    assert not vectors[[0, 2, 3]].any()
    assert encoder(batch_of([])).shape == (0, encoder.dim)
