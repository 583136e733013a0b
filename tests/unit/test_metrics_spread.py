"""Measures of spread compared with scikit-learn and written-out formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import StandardScaler

from geojepa_cli.metrics.rankme import rankme, rankme_centred
from geojepa_cli.metrics.spread import similarities, spread


@pytest.mark.parametrize("shape", [(50, 8), (12, 40), (300, 64)])
def test_the_centred_rank_equals_rankme_of_centred_vectors(shape: tuple[int, int]) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(3, 1, shape) * np.logspace(0, -4, shape[1]))
    assert rankme_centred(x) == pytest.approx(rankme(x - x.mean(0)), rel=1e-3)


def test_the_centred_rank_of_equal_vectors_is_one_and_of_a_line_one() -> None:
    assert rankme_centred(torch.full((20, 6), 0.1)) == pytest.approx(1.0, abs=1e-3)
    line = torch.linspace(0, 1, 20)[:, None] * torch.arange(6.0) + 7
    assert rankme_centred(line) == pytest.approx(1.0, abs=1e-3)


def test_spread_equals_sklearn_and_numpy() -> None:
    x = np.random.default_rng(1).normal(2, 1, (40, 10)) * np.arange(1, 11)
    x[:, :3] = [1.0, -2.0, 5.0]  # dead
    found = spread(torch.from_numpy(x))
    variance = StandardScaler().fit(x).var_ * 40 / 39
    assert found.variance_min == pytest.approx(0, abs=1e-20)
    assert found.variance_max == pytest.approx(variance.max())
    assert found.variance_median == pytest.approx(np.sort(variance)[4])  # torch takes the lower of two medians
    assert found.std == pytest.approx(x.std(0, ddof=1).mean())
    assert found.dead == pytest.approx(0.3)
    distances = np.linalg.norm(x - x.mean(0), axis=1)
    assert found.relative == pytest.approx(np.sqrt((distances**2).mean() / (x**2).sum(1).mean()))


@pytest.mark.parametrize(("size", "mean", "dead"), [(0.005, 0.0, 0.0), (0.005, 1.0, 0.5), (0.0005, 0.0, 0.5)])
def test_small_dimensions_are_alive_unless_they_hardly_vary(size: float, mean: float, dead: float) -> None:
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    x[:, 4:] = mean + size * x[:, 4:]
    assert spread(x).dead == dead


@pytest.mark.parametrize(("vectors", "relative"), [(torch.ones(5, 3), 0.0), (torch.tensor([[1.0], [-1.0]]), 1.0)])
def test_the_relative_spread_of_equal_vectors_is_zero_and_of_centred_ones_one(
    vectors: torch.Tensor, relative: float
) -> None:
    assert spread(vectors).relative == pytest.approx(relative)


def test_similarities_equal_the_means_over_all_pairs() -> None:
    sizes = [3, 0, 1, 5, 2]
    x = np.random.default_rng(2).normal(0.3, 1, (sum(sizes), 7))
    group = np.repeat(np.arange(5), sizes)
    cosine, same = cosine_similarity(x), group[:, None] == group
    within, between = similarities(torch.from_numpy(x), torch.from_numpy(np.cumsum([0, *sizes])))
    assert within == pytest.approx(cosine[same & ~np.eye(len(x), dtype=bool)].mean())
    assert between == pytest.approx(cosine[~same].mean())


def test_similarities_of_single_vectors_have_no_pair_within() -> None:
    within, between = similarities(torch.eye(3), torch.arange(4))
    assert np.isnan(within) and between == pytest.approx(0)
