"""Metrics compared with scikit-learn, scipy and written-out formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import hmean
from sklearn.metrics import mean_absolute_error, roc_auc_score

from geojepa_cli.metrics.metrics import auroc, harmonic_score, mae, relative_to_dummy
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
