"""PolygonGNN: its paths equal those of a slow loop, its vectors have the invariances of the formula."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from geometry_shapes import HOLE, HOLE_EDGES, NODE, RELATION, RELATION_EDGES, SQUARE, WAY, mixed, shapes_of
from synthetic_store import write_synthetic_processed
from torch import Tensor

from geojepa_cli.config.modality import Modality
from geojepa_cli.models.polygon_gnn.embedder import shapes_of as shapes_of_batch
from geojepa_cli.nn.geometry.paths import MAX_VISIBLE, NEXT, PREVIOUS, VISIBLE, path_geometry, two_hop_paths
from geojepa_cli.nn.geometry.polygon_gnn import PolygonGNN
from geojepa_cli.nn.geometry.shapes import LINE, OUTER, POINT, Shapes
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View


@pytest.fixture(scope="module")
def encoder() -> PolygonGNN:
    torch.manual_seed(0)
    return PolygonGNN(dim=32, depth=3).eval()


def slow_paths(shapes: Shapes) -> set[tuple[int, int, int, int, int]]:
    """All paths (i, j, k, type of i–j, type of j–k), by loops over parts, edges and pairs of edges."""
    edges: list[tuple[int, int, int]] = []
    for part, (begin, end) in enumerate(pairwise(shapes.part_node_offsets.tolist())):
        nodes = list(range(begin, end))
        joined = [*pairwise(nodes)]
        if int(shapes.part_role[part]) >= OUTER and len(nodes) > 2:
            joined.append((nodes[-1], nodes[0]))
        for a, b in joined:
            edges += [(a, b, NEXT), (b, a, PREVIOUS)]
    for a, b in shapes.edges.T.tolist():
        edges += [(a, b, VISIBLE), (b, a, VISIBLE)]
    second = [edge for edge in edges if edge[2] != VISIBLE]
    for node in range(len(shapes.node_xy)):
        seen = [edge for edge in edges if edge[0] == node and edge[2] == VISIBLE]
        seen.sort(key=lambda edge: math.dist(shapes.node_xy[edge[0]].tolist(), shapes.node_xy[edge[1]].tolist()))
        second += seen[:MAX_VISIBLE]
    return {(i, j, k, s, t) for i, j, s in edges for other, k, t in second if other == j and k != i}


def rotated(xy: Tensor, degrees: float) -> Tensor:
    turn = math.radians(degrees)
    matrix = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], dtype=xy.dtype)
    return xy @ matrix.T


def test_paths_equal_those_of_a_loop_over_all_pairs_of_edges() -> None:
    star = [(POINT, [(0.5, 0.5)]), (LINE, [(0.1 * i, 0.01 * i * i) for i in range(9)])]  # one node that nine see
    shapes = shapes_of(
        [NODE, WAY, HOLE, star, RELATION],  # type: ignore[list-item]
        [[], [], HOLE_EDGES, [(0, i) for i in range(1, 10)], RELATION_EDGES],
    )
    paths = two_hop_paths(shapes)
    found = list(zip(*(row.tolist() for row in paths), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == slow_paths(shapes)


def test_path_geometry_is_the_formula_of_the_paper() -> None:
    shapes = mixed()
    paths = two_hop_paths(shapes)
    for row, i, j, k in zip(path_geometry(paths, shapes.node_xy), *(x.tolist() for x in paths[:3]), strict=True):
        a, b, c = (complex(*shapes.node_xy[node].tolist()) for node in (i, j, k))
        turn = (c - b) * (a - b).conjugate()
        angle = math.atan2(turn.imag, turn.real)
        expected = [abs(a - b), abs(b - c), *((math.cos(angle), math.sin(angle)) if turn else (0.0, 0.0))]
        assert row.tolist() == pytest.approx(expected, abs=1e-5)


def test_points_lines_polygons_and_relations_encode_to_different_finite_vectors(encoder: PolygonGNN) -> None:
    vectors = encoder(mixed())
    assert vectors.shape == (5, 32) and bool(vectors.isfinite().all())
    distances = torch.cdist(vectors, vectors) + torch.eye(5)
    assert float(distances.detach().min()) > 1e-2


@pytest.mark.parametrize("degrees", [30.0, 90.0, 180.0, -77.0])
def test_rotation_translation_and_scale_do_not_change_vectors(encoder: PolygonGNN, degrees: float) -> None:
    shapes = mixed()
    moved = shapes._replace(node_xy=0.3 * rotated(shapes.node_xy, degrees) + torch.tensor([0.4, -0.2]))
    torch.testing.assert_close(encoder(moved), encoder(shapes), atol=2e-4, rtol=1e-3)


def test_reflection_and_shear_change_vectors(encoder: PolygonGNN) -> None:
    shapes = shapes_of([WAY, HOLE], [[], HOLE_EDGES])
    for matrix in ([[-1.0, 0.0], [0.0, 1.0]], [[1.0, 0.5], [0.0, 1.0]]):
        changed = encoder(shapes._replace(node_xy=shapes.node_xy @ torch.tensor(matrix).T))
        assert float((changed - encoder(shapes)).detach().abs().amax(1).min()) > 1e-2


def test_a_ring_has_no_first_node(encoder: PolygonGNN) -> None:
    role, nodes = SQUARE[0]
    nodes = [*nodes, (0.1, 0.4)]
    turned = [[(role, nodes[shift:] + nodes[:shift])] for shift in range(5)]
    vectors = encoder(shapes_of(turned))
    torch.testing.assert_close(vectors, vectors[:1].expand_as(vectors), atol=1e-5, rtol=1e-4)


def test_the_number_of_paths_grows_with_the_edges_where_all_nodes_see_one() -> None:
    def count(size: int) -> int:
        hub = [(POINT, [(0.5, 0.5)]), (LINE, [(0.1 + 0.5 * i / size, 0.1) for i in range(size)])]
        shapes = shapes_of([hub], [[(0, i) for i in range(1, size + 1)]])  # type: ignore[list-item]
        return len(two_hop_paths(shapes).i)

    assert count(2000) < 2.1 * count(1000)


def test_an_entity_without_extent_has_a_finite_vector_and_finite_gradients() -> None:
    model = PolygonGNN(dim=16, depth=2)
    same = [(LINE, [(0.5, 0.5)] * 3)]
    shapes = shapes_of([same, NODE])  # type: ignore[list-item]
    vectors = model(shapes)
    (vectors * torch.linspace(-1, 1, 16)).sum().backward()
    assert bool(vectors.isfinite().all())
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_gradients_reach_every_parameter() -> None:
    model = PolygonGNN(dim=16, depth=3)
    # equal values of all dimensions would have no gradient through the last normalisation
    (model(mixed()) * torch.linspace(-1, 1, 16)).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().max() > 0)] == []


@torch.no_grad()
def check_alone(encoder: PolygonGNN, store: TileStore, count: int) -> None:
    """Asserts that entities of a batch of tiles have the vectors that they have in a batch of one tile."""
    view = View.default(store, 1, None)
    needs = frozenset({Modality.TAGS, Modality.NODES})
    rows = view.tiles[:: max(len(view.tiles) // count, 1)][:count]
    together = encoder(shapes_of_batch(store.read(view, rows, needs=needs)))
    alone = [encoder(shapes_of_batch(store.read(view, rows[i : i + 1], needs=needs))) for i in range(len(rows))]
    assert bool(together.isfinite().all())
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_a_vector_does_not_depend_on_the_rest_of_the_batch(encoder: PolygonGNN, tmp_path: Path) -> None:
    write_synthetic_processed(tmp_path / "processed.h5", seed=3, n_tiles=12)
    check_alone(encoder, TileStore.open([tmp_path / "processed.h5"]), 6)
