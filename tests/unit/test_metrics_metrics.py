"""Metrics compared with scikit-learn, scipy and written-out formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import hmean, spearmanr
from sklearn.metrics import average_precision_score, mean_absolute_error, r2_score, roc_auc_score

from geojepa_cli.metrics.metrics import (
    auroc,
    average_precision,
    harmonic_score,
    mae,
    r2,
    relative_to_dummy,
    spearman,
)
from geojepa_cli.metrics.rankme import rankme


def test_mae_is_the_mean_absolute_error() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50), rng.normal(size=50)
    assert mae(a, b) == pytest.approx(mean_absolute_error(b, a))


def test_mae_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="non-empty"):
        mae(np.empty(0), np.empty(0))


def test_auroc_with_ties_equals_sklearn() -> None:
    rng = np.random.default_rng(1)
    score = rng.integers(0, 6, size=200).astype(float)
    positive = rng.random(200) < 0.3
    assert auroc(score, positive) == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


def test_auroc_of_one_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        auroc(np.arange(3.0), np.ones(3, bool))


@pytest.mark.parametrize("levels", [2, 6, 10**9])
@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_average_precision_equals_sklearn_with_and_without_ties(levels: int, share: float) -> None:
    rng = np.random.default_rng(levels + int(100 * share))
    for n in (1, 7, 300):
        score, positive = rng.integers(0, levels, n).astype(float), rng.random(n) < share
        positive[rng.integers(n)] = True
        ours = average_precision(score, positive)
        assert ours == pytest.approx(average_precision_score(positive, score), abs=1e-12)


def test_average_precision_of_equal_scores_is_the_share_of_positives_and_needs_a_positive() -> None:
    assert average_precision(np.zeros(10), np.arange(10) < 3) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="positive row"):
        average_precision(np.arange(3.0), np.zeros(3, bool))


@pytest.mark.parametrize("levels", [2, 5, 10**9])
def test_r2_and_spearman_equal_sklearn_and_scipy_with_and_without_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    for n in (6, 250):
        true = rng.integers(0, levels, n).astype(float)
        true[:2] = 0, 1
        predicted = true + rng.integers(-2, 3, n) * rng.integers(0, 2, n)
        assert r2(predicted, true) == pytest.approx(r2_score(true, predicted), abs=1e-12)
        assert spearman(predicted, true) == pytest.approx(spearmanr(predicted, true).statistic, abs=1e-12)
    assert r2(np.full(4, 7.5), np.arange(4.0)) == pytest.approx(r2_score(np.arange(4.0), np.full(4, 7.5)))


def test_r2_and_spearman_of_constants_are_errors() -> None:
    constant, other = np.full(5, 0.1), np.arange(5.0)
    with pytest.raises(ValueError, match="different true values"):
        r2(other, constant)
    for pair in ((other, constant), (constant, other)):
        with pytest.raises(ValueError, match="different values"):
            spearman(*pair)


def test_relative_score_is_the_mean_ratio_and_skips_a_task_without_spread() -> None:
    value = relative_to_dummy({"a": 1.0, "b": 3.0, "c": 9.0}, {"a": 2.0, "b": 4.0, "c": 0.0})
    assert value == pytest.approx((0.5 + 0.75) / 2)


def test_harmonic_score_equals_scipy() -> None:
    mine, best = {"a": 2.0, "b": 3.0, "c": 5.0}, {"a": 1.0, "b": 3.0, "c": 4.0}
    assert harmonic_score(mine, best) == pytest.approx(hmean([1 / 2, 1.0, 4 / 5]))


def test_harmonic_score_when_the_best_makes_no_error() -> None:
    assert harmonic_score({"a": 0.0, "b": 2.0}, {"a": 0.0, "b": 1.0}) == pytest.approx(hmean([1.0, 0.5]))
    assert harmonic_score({"a": 1.0}, {"a": 0.0}) == 0.0


def test_rankme_of_orthogonal_rows_is_their_number_and_of_parallel_rows_one() -> None:
    assert rankme(torch.eye(8)) == pytest.approx(8, rel=1e-4)
    assert rankme(torch.ones(10, 4)) == pytest.approx(1, rel=1e-4)


def test_rankme_equals_its_formula() -> None:
    vectors = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    singular = np.linalg.svd(vectors.numpy().astype(np.float64), compute_uv=False)
    share = singular / singular.sum() + 1e-7
    assert rankme(vectors) == pytest.approx(math.exp(-sum(p * math.log(p) for p in share)))


def test_rankme_of_zeros_is_an_error() -> None:
    with pytest.raises(ValueError, match="zero"):
        rankme(torch.zeros(3, 3))
