"""Points on the geometry of entities, against shapely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import shapely
import torch
from geometry_batches import batch_of, random_shape

from geojepa_cli.nn.geometry.points import Draws, Outlines, draw_points

BAY = shapely.Polygon([(0, 0), (1, 0), (1, 1), (0, 1)], holes=[[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)]])
BENT = shapely.LineString([(0.1, 0.1), (0.3, 0.1), (0.3, 0.9)])
POINTS = shapely.MultiPoint([(0.1, 0.2), (0.7, 0.4), (0.9, 0.9)])


def outlines_of(shapes: Sequence[shapely.Geometry]) -> Outlines:
    batch = batch_of(shapes)
    boxes = [np.array(shapely.box(*shape.bounds).exterior.coords)[[2, 3, 0, 1]] for shape in shapes]
    box = torch.from_numpy(np.array(boxes)).reshape(len(shapes), 8)
    return Outlines(batch.node_xy, batch.node_offsets, batch.part_node_offsets, batch.part_role, box)


def drawn(shapes: Sequence[shapely.Geometry], count: int, seed: int = 0) -> np.ndarray:
    """`count` random points of each shape. [shapes, count, 2]"""
    entity = torch.arange(len(shapes)).repeat_interleave(count)
    draws = Draws.random(len(entity), torch.Generator().manual_seed(seed))
    return draw_points(outlines_of(shapes), entity, draws).view(len(shapes), count, 2).numpy()


KINDS = ("points", "lines", "polygons")


def test_points_lie_on_the_geometry_of_their_own_entity() -> None:
    shapes = [BAY, BENT, POINTS, *(random_shape(kind, seed) for seed in range(6) for kind in KINDS)]
    for shape, points in zip(shapes, drawn(shapes, 60), strict=True):
        assert shapely.distance(shape, shapely.points(points)).max() < 1e-9


def test_points_of_an_area_are_distributed_evenly_and_leave_out_its_hole() -> None:
    (points,) = drawn([BAY], 4000)
    inside = shapely.contains_xy(BAY, points)
    assert inside.mean() > 0.999
    parts = [shapely.box(0, 0, 0.2, 1), shapely.box(0.8, 0, 1, 1), shapely.box(0.2, 0, 0.8, 0.2)]
    for part in parts:
        expected = part.intersection(BAY).area / BAY.area
        assert shapely.contains_xy(part, points).mean() == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 4000))


def test_points_of_a_line_are_distributed_evenly_over_its_length() -> None:
    (points,) = drawn([BENT], 4000)
    along = np.sort(shapely.line_locate_point(BENT, shapely.points(points)) / BENT.length)
    assert np.abs(along - (np.arange(4000) + 0.5) / 4000).max() < 1.7 / np.sqrt(4000)  # Kolmogorov–Smirnov


def test_points_of_several_points_are_distributed_evenly() -> None:
    (points,) = drawn([POINTS], 3000)
    _, counts = np.unique(points.round(9), axis=0, return_counts=True)
    assert len(counts) == 3 and counts.min() > 900


def test_a_thin_area_gives_a_point_on_its_outline() -> None:
    thin = shapely.Polygon([(0, 0), (1, 1), (1, 1.0001), (0, 0.0001)])
    (points,) = drawn([thin], 200)
    assert shapely.distance(thin, shapely.points(points)).max() < 1e-9


def test_an_entity_without_nodes_gives_a_point_in_its_box() -> None:
    tile = torch.tensor([[0.0, 0, 1, 0, 1, 1, 0, 1]]).double()
    none = Outlines(torch.zeros(0, 2), torch.zeros(2).long(), torch.zeros(1).long(), torch.zeros(0).byte(), tile)
    entity = torch.zeros(50, dtype=torch.int64)
    draws = Draws.random(50, torch.Generator().manual_seed(0))
    found = draw_points(none, entity, draws)
    torch.testing.assert_close(found, draws.inside[:, 0])


def test_regular_points_do_not_depend_on_the_other_entities() -> None:
    shapes = [random_shape(kind, seed) for seed in range(4) for kind in KINDS]
    entity = torch.arange(len(shapes)).repeat_interleave(4)
    together = draw_points(outlines_of(shapes), entity, Draws.regular(len(shapes), 4)).view(len(shapes), 4, 2)
    for shape, points in zip(shapes, together, strict=True):
        alone = draw_points(outlines_of([shape]), torch.zeros(4, dtype=torch.int64), Draws.regular(1, 4))
        torch.testing.assert_close(alone, points)
        assert shapely.distance(shape, shapely.points(points.numpy())).max() < 1e-9


def test_regular_points_of_a_line_are_in_equal_steps() -> None:
    found = draw_points(outlines_of([BENT]), torch.zeros(4, dtype=torch.int64), Draws.regular(1, 4)).numpy()
    along = shapely.line_locate_point(BENT, shapely.points(found)) / BENT.length
    np.testing.assert_allclose(along, [0.125, 0.375, 0.625, 0.875])
