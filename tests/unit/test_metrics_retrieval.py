"""Figures of retrieval compared with scikit-learn, with all orders of equal similarities, and with known answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from geojepa_cli.metrics import retrieval
from geojepa_cli.metrics.retrieval import random_average_precision, score_queries

CUTOFFS = (3, 8, 1000)


def problem(seed: int, n: int = 200, groups: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Small whole numbers, so that similarities are exact and many are equal; some vectors are zeros."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (n, 3)).astype(np.float32)
    return vectors, rng.random(n) < 0.2, rng.integers(0, groups, n)


def slow_hits(similar: np.ndarray, relevant: np.ndarray, k: int) -> float:
    """Mean number of hits over all orders of equal similarities, one level of similarity after the other."""
    hits, left = 0.0, k
    for level in sorted(set(similar.tolist()), reverse=True):
        own = relevant[similar == level]
        hits += own.sum() * min(left, len(own)) / len(own)
        left -= min(left, len(own))
    return hits


@pytest.mark.parametrize("at_once", [1, 1000, 8_000_000])
def test_figures_equal_those_of_scikit_learn_and_of_a_loop(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "_SCORES_AT_ONCE", at_once)
    vectors, relevant, groups = problem(0)
    found = score_queries(vectors, relevant, groups, CUTOFFS)
    assert found.rows.tolist() == np.flatnonzero(relevant).tolist()
    for place, row in enumerate(found.rows.tolist()):
        others = groups != groups[row]
        similar, hit = vectors[others] @ vectors[row], relevant[others]
        assert (found.relevant[place], found.candidates[place]) == (hit.sum(), len(hit))
        assert found.average_precision[place] == pytest.approx(average_precision_score(hit, similar), abs=1e-12)
        expected = [slow_hits(similar, hit, k) for k in CUTOFFS]
        assert found.hits[place].tolist() == pytest.approx(expected, abs=1e-9)


def test_hits_are_the_mean_over_all_orders_of_equal_similarities() -> None:
    vectors = np.array([[1], [1], [1], [1], [0], [0], [0]], np.float32)
    relevant = np.array([True, True, False, False, True, False, False])
    found = score_queries(vectors, relevant, np.arange(7), (2, 4))
    similar, hit = vectors[1:, 0], relevant[1:]
    orders = [order for order in itertools.permutations(range(6)) if (np.diff(similar[list(order)]) <= 0).all()]
    for place, k in enumerate((2, 4)):
        mean = np.mean([hit[list(order[:k])].sum() for order in orders])
        assert found.hits[0, place] == pytest.approx(mean)


def test_the_feature_itself_as_a_vector_is_found_without_an_error() -> None:
    _, relevant, groups = problem(1)
    vectors = np.stack([relevant, ~relevant], axis=1).astype(np.float32)
    found = score_queries(vectors, relevant, groups, (8,))
    assert (found.average_precision == 1).all() and (found.hits == 8).all()


def test_shuffled_features_are_found_as_rarely_as_in_a_random_order() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((400, 16)).astype(np.float32)
    vectors[:80] += 3  # a cluster, which shuffled features do not match
    groups = rng.integers(0, 40, 400)
    values, expected = [], []
    for _ in range(30):
        found = score_queries(vectors, rng.permutation(400) < 40, groups, (8,))
        values.append([found.average_precision.mean(), found.hits.mean() / 8])
        chance = random_average_precision(found.relevant, found.candidates)
        expected.append([chance.mean(), (found.relevant / found.candidates).mean()])
    error = np.std(values, axis=0) / np.sqrt(len(values))
    assert (np.abs(np.mean(values, axis=0) - np.mean(expected, axis=0)) < 4 * error).all()
    clustered = score_queries(vectors, np.arange(400) < 80, groups, (8,))
    assert clustered.average_precision.mean() > 0.9


@pytest.mark.parametrize(("relevant", "candidates"), [(1, 1), (1, 5), (2, 6), (6, 6)])
def test_the_average_precision_of_a_random_order_is_the_mean_over_all_orders(relevant: int, candidates: int) -> None:
    hits = [True] * relevant + [False] * (candidates - relevant)
    scores = -np.arange(candidates)
    mean = np.mean([average_precision_score(order, scores) for order in itertools.permutations(hits)])
    assert random_average_precision(np.array([relevant]), np.array([candidates]))[0] == pytest.approx(mean)


def test_a_row_is_no_query_if_no_other_group_has_the_feature() -> None:
    vectors = np.ones((6, 2), np.float32)
    alone = score_queries(
        vectors, np.array([True, True, False, False, False, False]), np.array([0, 0, 1, 1, 2, 2]), (1,)
    )
    assert alone.rows.size == 0 and alone.hits.shape == (0, 1)
    some = score_queries(
        vectors, np.array([True, False, True, False, False, False]), np.array([0, 0, 1, 1, 2, 2]), (1,)
    )
    assert some.rows.tolist() == [0, 2] and some.relevant.tolist() == [1, 1] and some.candidates.tolist() == [4, 4]
    nothing = score_queries(vectors, np.zeros(6, bool), np.arange(6), (8,))
    assert nothing.rows.size == 0 and nothing.average_precision.size == 0
