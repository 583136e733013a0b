"""The exact engine compared with brute force in float64, also with ties, vectors near the mean and huge values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geojepa_cli.config.spaces import FORMS, Form
from geojepa_cli.search import engine
from geojepa_cli.search.engine import DECIMALS, VectorIndex
from geojepa_cli.search.norms import inverse_norms
from geojepa_cli.search.space import SearchSpace
from geojepa_cli.store.vector_statistics import add_rows, no_vectors


def _vectors(count: int, width: int, dtype: type, seed: int = 0) -> np.ndarray:
    """Vectors with a large mean and correlated columns; some are equal, some are zeros, one is close to the mean."""
    rng = np.random.default_rng(seed)
    mean = 4 * rng.standard_normal(width)
    vectors = rng.standard_normal((count, width)) @ rng.standard_normal((width, width)) / width**0.5 + mean
    vectors[5 : count // 2 : 7] = vectors[2]
    vectors[3::50] = 0
    vectors = vectors.astype(dtype)
    vectors[11] = vectors.astype(np.float64).mean(0)
    return vectors


def _index(vectors: np.ndarray, form: Form) -> VectorIndex:
    statistics = add_rows(no_vectors(vectors.shape[1]), vectors)
    parts = (("max", 1), ("mean", vectors.shape[1] - 1))
    return VectorIndex(vectors, SearchSpace.fit([replace(statistics, parts=parts)], form))


def _brute_force(index: VectorIndex, queries: np.ndarray, excluded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All allowed rows of each query in float64, row by row, best first."""
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    all_scores = []
    for row in index.vectors:
        mapped = index.space.transform(row[None])[0]
        norm = np.sqrt((mapped * mapped).sum())
        all_scores.append(queries @ mapped / norm if norm else np.zeros(len(queries)))
    scores = np.round(np.stack(all_scores, 1), DECIMALS)
    scores[:, excluded] = -9
    order = np.lexsort((np.broadcast_to(np.arange(scores.shape[1]), scores.shape), -scores), axis=1)
    return np.take_along_axis(scores, order, 1), order


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("small_chunks", [False, True])
def test_results_equal_brute_force_in_float64(
    form: Form, dtype: type, small_chunks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small_chunks:
        monkeypatch.setattr(engine, "_SCORES_AT_ONCE", 1)
        monkeypatch.setattr(engine, "_VALUES_AT_ONCE", 100)
        monkeypatch.setattr(engine, "_QUERIES_AT_ONCE", 3)
    vectors = _vectors(2500, 24, dtype)
    index = _index(vectors, form)
    queries = index.space.project(vectors[[0, 2, 11, 40, 2400]]).astype(np.float64)
    excluded = np.arange(len(vectors)) % 9 == 4
    for wanted in (queries, queries[:1]):
        for k in (1, 8, 200):
            found = index.search(wanted, k, excluded)
            scores, rows = _brute_force(index, wanted, excluded)
            np.testing.assert_array_equal(found.rows, rows[:, :k])
            np.testing.assert_allclose(found.scores, scores[:, :k], rtol=0, atol=1e-11)


def test_equal_vectors_come_in_the_order_of_their_rows() -> None:
    vectors = np.tile(np.array([[1.0, 2.0, 3.0]], np.float32), (3000, 1))
    vectors[::2] *= 2
    found = _index(vectors, "raw").search(np.array([[0.6, 0.8, 0.0]]), 50)
    np.testing.assert_array_equal(found.rows[0], np.arange(50))


def test_fewer_rows_than_wanted_give_all() -> None:
    index = _index(_vectors(60, 4, np.float32), "centred")
    excluded = np.arange(60) >= 20
    queries = np.eye(4)[:2]
    assert index.search(queries, 100, excluded).rows.shape == (2, 20)
    assert index.search(queries, 5, np.ones(60, bool)).rows.shape == (2, 0)
    assert index.search(np.zeros((0, 4)), 5).rows.shape[0] == 0
    assert _index(np.zeros((0, 4), np.float32), "whitened").search(queries, 3).rows.shape == (2, 0)


@pytest.mark.parametrize("form", FORMS)
def test_huge_and_tiny_values_are_found_too(form: Form) -> None:
    vectors = _vectors(1500, 8, np.float32)
    vectors[100] *= 1e30
    vectors[200] *= 1e-30
    index = _index(vectors, form)
    queries = index.space.project(vectors[[100, 200, 7]]).astype(np.float64)
    found = index.search(queries, 6)
    scores, rows = _brute_force(index, queries, np.zeros(len(vectors), bool))
    np.testing.assert_array_equal(found.rows, rows[:, :6])
    np.testing.assert_allclose(found.scores, scores[:, :6], rtol=0, atol=1e-11)


@pytest.mark.parametrize("form", FORMS)
def test_places_count_the_vectors_with_a_higher_score(form: Form) -> None:
    vectors = _vectors(2000, 16, np.float32)
    index = _index(vectors, form)
    query = index.space.project(vectors[[2]])[0].astype(np.float64)
    excluded = np.arange(len(vectors)) % 5 == 0
    scores, _ = _brute_force(index, query[None], excluded)
    for thresholds in (scores[0, [0, 3, 50, 1200]], np.array([2.0, 0.5, 0.0, -2.0])):
        expected = [(scores[0, : int((~excluded).sum())] > one).sum() for one in thresholds]
        found, above = index.above(query, thresholds, excluded)
        assert not excluded[found].any()
        np.testing.assert_array_equal([(above > one).sum() for one in thresholds], expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_estimated_scores_are_close_to_exact_ones(dtype: type) -> None:
    vectors = _vectors(1200, 12, dtype)
    index = _index(vectors, "centred")
    query = index.space.project(vectors[[9]])[0].astype(np.float64)
    exact = index.exact_scores(query, np.arange(len(vectors)))
    np.testing.assert_allclose(index.scores(query), exact, atol=3e-5)


def test_a_memory_mapped_file_is_searched_without_a_copy(tmp_path: Path) -> None:
    vectors = _vectors(1000, 8, np.float32)
    vectors.tofile(tmp_path / "vectors")
    mapped = np.memmap(tmp_path / "vectors", np.float32, "r", shape=vectors.shape)
    index = _index(mapped, "centred")
    assert np.shares_memory(index.vectors, mapped)
    query = index.space.project(vectors[:1]).astype(np.float64)
    np.testing.assert_array_equal(index.search(query, 9).rows, _index(vectors, "centred").search(query, 9).rows)


def test_wrong_shapes_are_refused() -> None:
    index = _index(_vectors(60, 4, np.float32), "raw")
    with pytest.raises(ValueError, match="queries of 4 values"):
        index.search(np.zeros((1, 3)), 2)
    with pytest.raises(ValueError, match="at least 1"):
        index.search(np.zeros((1, 4)), 0)
    with pytest.raises(ValueError, match="`excluded`"):
        index.search(np.zeros((1, 4)), 1, np.zeros(3, bool))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("form", FORMS)
def test_norms_equal_those_in_float64_within_their_bound(dtype: type, form: Form) -> None:
    vectors = _vectors(1500, 48, dtype)
    vectors[7] = 0
    space = SearchSpace.fit([add_rows(no_vectors(48), vectors)], form)
    inverse, errors = inverse_norms(vectors, space)
    expected = np.linalg.norm(space.transform(vectors), axis=1)
    known = expected > 0
    assert (inverse.numpy() == 0).tolist() == (~known).tolist()
    wrong = np.abs(inverse.numpy()[known].astype(np.float64) * expected[known] - 1)
    assert (wrong <= np.maximum(1e-5, errors[known])).all() and np.median(wrong) < 1e-6
