"""Ranks in searches across two views, against a loop over all orders of equal candidates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from geojepa_cli.metrics import pair_ranks
from geojepa_cli.metrics.pair_ranks import Ranks, half_distance, rank_points, rank_tag_sets, recall, reciprocal_rank


def coarse(seed: int, n: int, dim: int = 3) -> np.ndarray:
    """Vectors of few different values, so that many similarities are equal."""
    return np.random.default_rng(seed).integers(-1, 2, (n, dim)).astype(np.float32)


def slow_figures(right: float, wrong: list[float], k: int) -> tuple[float, float]:
    """Share of orders with the right candidate among the first k, and mean reciprocal rank, over all orders of ties."""
    tied = [index for index, value in enumerate(wrong) if value == right]
    better = sum(value > right for value in wrong)
    places = [better + order.index(-1) + 1 for order in itertools.permutations([-1, *tied])]
    return float(np.mean([place <= k for place in places])), float(np.mean([1 / place for place in places]))


def slow_tag_sets(point: np.ndarray, wanted: int, ground: np.ndarray, sets: np.ndarray) -> tuple[float, list[float]]:
    best = {one: max(float(point @ ground[j]) for j in np.flatnonzero(sets == one)) for one in set(sets.tolist())}
    return best.pop(wanted), list(best.values())


@pytest.mark.parametrize("k", [1, 2])
def test_tag_sets_and_points_are_ranked_as_in_a_loop(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_ranks, "_SCORES_AT_ONCE", 20)  # several parts
    ground, points = coarse(1, 9), coarse(2, 9)
    sets = np.array([3, 3, -5, 8, 8, 8, 11, 20, -5])
    found = rank_tag_sets(points, sets, ground, sets)
    expected = [slow_figures(*slow_tag_sets(points[i], int(sets[i]), ground, sets), k) for i in range(9)]
    np.testing.assert_allclose(np.stack([recall(found, k), reciprocal_rank(found)], 1), expected)
    assert (found.wrong == 4).all()
    found = rank_points(ground, points, sets)
    scores = ground @ points.T
    wrong = [scores[i, sets != sets[i]].tolist() for i in range(9)]
    expected = [slow_figures(float(scores[i, i]), wrong[i], k) for i in range(9)]
    np.testing.assert_allclose(np.stack([recall(found, k), reciprocal_rank(found)], 1), expected)
    assert found.wrong.tolist() == [len(one) for one in wrong]


def test_points_that_belong_to_other_entities_are_queries_too() -> None:
    ground, sets = np.eye(4, dtype=np.float32), np.array([7, 7, 1, 2])
    found = rank_tag_sets(ground[[2, 2, 1]], np.array([1, 2, 7]), ground, sets)
    assert recall(found, 1).tolist() == [1.0, 0.0, 1.0]


def test_a_random_order_has_the_figures_of_equal_candidates() -> None:
    ranks = Ranks(np.array([0, 2]), np.array([1, 0]), np.array([3, 4])).by_chance()
    np.testing.assert_allclose(recall(ranks, 1), [1 / 4, 1 / 5])
    np.testing.assert_allclose(recall(ranks, 10), [1, 1])
    np.testing.assert_allclose(reciprocal_rank(ranks), [25 / 48, 137 / 300])


def test_shuffled_pairs_have_the_figures_of_a_random_order() -> None:
    rng = np.random.default_rng(0)
    drawn, sets = rng.normal(size=(600, 8)), np.arange(600)
    ground = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    right, shuffled = rank_points(ground, ground, sets), rank_points(ground, ground[rng.permutation(600)], sets)
    assert recall(right, 1).mean() == 1.0
    chance = right.by_chance()
    assert abs(recall(shuffled, 10).mean() - recall(chance, 10).mean()) < 0.02
    assert abs(reciprocal_rank(shuffled).mean() - reciprocal_rank(chance).mean()) < 0.02


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.9, 0.5, 0.1], 10.0), ([0.9, 0.9, 0.1], 20.0), ([0.9, 0.1, 0.1], 5.0), ([0.2, 0.3, 0.3], None)],
)
def test_half_of_the_excess_is_lost_where_the_lines_between_the_values_say(
    values: list[float], expected: float | None
) -> None:
    found = half_distance(np.array([0.0, 10.0, 30.0]), np.array(values))
    assert found == (None if expected is None else pytest.approx(expected))
