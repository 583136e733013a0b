"""Exact neighbours compared with a slow loop and scikit-learn, ties included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from geojepa_cli.metrics import knn
from geojepa_cli.metrics.knn import nearest


def _vectors(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("chunk", [7, 100, 10_000])
def test_neighbours_equal_sklearn_for_any_chunk(metric: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "_chunk_rows", lambda _: chunk)
    vectors, queries = _vectors(500, 16) + 0.5, _vectors(20, 16, seed=1)
    oracle = NearestNeighbors(n_neighbors=9, metric="cosine" if metric == "cosine" else "euclidean", algorithm="brute")
    distance, expected = oracle.fit(vectors.double().numpy()).kneighbors(queries.double().numpy())
    scores, rows = nearest(queries, vectors, 9, metric)  # type: ignore[arg-type]
    np.testing.assert_array_equal(rows.numpy(), expected)
    np.testing.assert_allclose(scores.numpy(), 1 - distance if metric == "cosine" else distance, atol=1e-6)


def test_dot_product_neighbours_equal_a_slow_loop() -> None:
    vectors, queries = _vectors(60, 5), _vectors(3, 5, seed=2)
    _, rows = nearest(queries, vectors, 4, "dot")
    for query, found in zip(queries.double(), rows.tolist(), strict=True):
        scores = [sum(float(a) * float(b) for a, b in zip(query, row, strict=True)) for row in vectors.double()]
        assert found == sorted(range(60), key=lambda i: (-scores[i], i))[:4]


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize("chunk", [2, 3, 64])
def test_equal_vectors_come_in_order_of_rows(metric: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "_chunk_rows", lambda _: chunk)
    distinct = _vectors(4, 33)
    vectors = distinct[torch.tensor([3, 0, 1, 0, 2, 0, 1, 0, 0, 3, 0])]
    _, rows = nearest(distinct[:1], vectors, 4, metric)  # type: ignore[arg-type]
    if metric != "dot":
        assert rows.tolist() == [[1, 3, 5, 7]]
    scores, everything = nearest(distinct[:1], vectors, 11, metric)  # type: ignore[arg-type]
    for group in ([1, 3, 5, 7, 8, 10], [2, 6], [0, 9]):
        place = [everything[0].tolist().index(row) for row in group]
        assert place == sorted(place)
        assert len(set(scores[0, place].tolist())) == 1


def test_near_ties_below_float32_are_ordered() -> None:
    base = torch.ones(3, 4) * 1000.0
    base[0, 0] += 0.0002  # rounds to a float32 neighbour of 1000
    base[1, 0] += 0.0001
    query = torch.tensor([[1001.0, 1000, 1000, 1000]])
    distances = (base.double() - query.double()).norm(dim=1)
    _, rows = nearest(query, base, 3, "l2")
    assert rows[0].tolist() == sorted(range(3), key=lambda i: (float(distances[i]), i))


def test_excluded_rows_are_never_an_answer() -> None:
    vectors = _vectors(50, 8)
    excluded = torch.zeros(50, dtype=torch.bool)
    excluded[::2] = True
    _, rows = nearest(vectors[:5], vectors, 40, excluded=excluded)
    assert rows.shape == (5, 25)
    assert (rows % 2 == 1).all()


def test_all_excluded_gives_an_empty_answer() -> None:
    scores, rows = nearest(_vectors(2, 3), _vectors(4, 3), 5, excluded=torch.ones(4, dtype=torch.bool))
    assert scores.shape == rows.shape == (2, 0)


def test_a_zero_vector_has_cosine_0_with_everything() -> None:
    vectors = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    scores, rows = nearest(torch.tensor([[2.0, 0.0]]), vectors, 3)
    assert rows.tolist() == [[1, 0, 2]]
    assert scores.tolist() == [[1.0, 0.0, -1.0]]


def test_half_precision_vectors_are_searched_as_stored() -> None:
    vectors = _vectors(300, 12).half()
    _, rows = nearest(vectors[:4], vectors, 1)
    assert rows[:, 0].tolist() == [0, 1, 2, 3]


def test_wrong_shapes_and_values_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        nearest(_vectors(1, 3), _vectors(4, 2), 1)
    with pytest.raises(ValueError, match="k must"):
        nearest(_vectors(1, 3), _vectors(4, 3), 0)
    with pytest.raises(ValueError, match="finite"):
        nearest(_vectors(1, 3), torch.full((4, 3), torch.nan), 1)
