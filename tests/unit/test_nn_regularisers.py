"""VICReg and SIGReg against their formulas, written out."""

from __future__ import annotations

import cmath
import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from geojepa_cli.nn.losses.sigreg import random_directions, sigreg
from geojepa_cli.nn.losses.vicreg import covariance_loss, variance_loss, vicreg

MODALITIES = torch.tensor([0, 2, 0, 2, 2, 1, 0, 2, 0, 0, 2])  # 1 has a single token, 3 has none


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vectors(count: int = 11, dim: int = 5) -> Tensor:
    return 0.6 * torch.randn(count, dim, generator=generator()) + 0.3


def test_vicreg_of_several_modalities_equals_that_of_each_alone() -> None:
    x = vectors().requires_grad_()
    found = vicreg(x, MODALITIES, 4)
    (found.variance + found.covariance).backward()
    y = x.detach().clone().requires_grad_()
    alone = [y[number == MODALITIES] for number in (0, 2)]
    variance = (variance_loss(alone[0]) + variance_loss(alone[1])) / 2
    covariance = (covariance_loss(alone[0]) + covariance_loss(alone[1])) / 2
    (variance + covariance).backward()
    torch.testing.assert_close(found.variance, variance, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.covariance, covariance, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(x.grad, y.grad, atol=1e-5, rtol=1e-5)
    assert torch.equal(x.grad[5], torch.zeros(5))


def epps_pulley(values: list[float]) -> float:
    """The statistic of algorithm 1, divided by the number of values, by the trapezoidal rule on 17 points."""
    points = [-5.0 + 0.625 * i for i in range(17)]
    heights = []
    for t in points:
        empirical = sum(cmath.exp(1j * t * value) for value in values) / len(values)
        heights.append(abs(empirical - math.exp(-t * t / 2)) ** 2 * math.exp(-t * t / 2))
    return sum((a + b) / 2 * 0.625 for a, b in pairwise(heights))


def test_sigreg_is_the_mean_statistic_of_the_projections_of_each_modality() -> None:
    x, directions = vectors(), random_directions(5, 7, generator(1), torch.device("cpu"))
    expected = []
    for number in (0, 2):
        rows = x[number == MODALITIES].tolist()
        for direction in directions.T.tolist():
            expected.append(epps_pulley([sum(a * b for a, b in zip(row, direction, strict=True)) for row in rows]))
    assert float(sigreg(x, MODALITIES, 4, directions)) == pytest.approx(sum(expected) / len(expected), rel=1e-4)


def test_directions_are_unit_vectors_from_the_given_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, again = (random_directions(6, 50, generator(2), torch.device("cpu")) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, random_directions(6, 50, generator(4), torch.device("cpu")))
    torch.testing.assert_close(first.norm(dim=0), torch.ones(50))


def test_sigreg_prefers_normal_vectors_to_collapsed_wide_and_flat_ones() -> None:
    normal = torch.randn(4000, 8, generator=generator())
    directions, number = random_directions(8, 64, generator(1), torch.device("cpu")), torch.zeros(4000).long()
    flat = normal[:, :1].expand(4000, 8)
    found = [float(sigreg(x, number, 1, directions)) for x in (normal, 0 * normal, 4 * normal, flat)]
    assert found[0] < 2e-3
    assert found[1] == pytest.approx(0.41, abs=0.01)
    assert min(found[1:]) > 0.05


def test_descent_on_sigreg_gives_normal_vectors() -> None:
    x = (0.05 * torch.randn(500, 4, generator=generator()) + 1.0).requires_grad_()
    optimizer, rng = torch.optim.Adam([x], lr=0.05), generator(1)
    for _ in range(300):
        optimizer.zero_grad()
        sigreg(x, torch.zeros(500).long(), 1, random_directions(4, 16, rng, x.device)).backward()
        optimizer.step()
    torch.testing.assert_close(x.detach().mean(0), torch.zeros(4), atol=0.15, rtol=0)
    torch.testing.assert_close(x.detach().T.cov(), torch.eye(4), atol=0.25, rtol=0)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_vectors_have_no_sigreg_loss(count: int) -> None:
    x = torch.ones(count, 3, requires_grad=True)
    loss = sigreg(x, torch.zeros(count).long(), 2, random_directions(3, 4, generator(), x.device))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(x.grad, torch.zeros(count, 3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_regularisers_on_a_gpu_do_not_wait_for_it_and_equal_those_on_the_cpu() -> None:
    def losses(x: Tensor, modality: Tensor) -> list[Tensor]:
        terms = vicreg(x, modality, 4)
        directions = random_directions(5, 7, generator(1), x.device)
        return [terms.variance, terms.covariance, sigreg(x, modality, 4, directions)]

    x, modality = vectors().cuda().requires_grad_(), MODALITIES.cuda()
    losses(x, modality)  # the first call initialises libraries
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = losses(x, modality)
        sum(found).backward()  # type: ignore[union-attr]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for value, expected in zip(found, losses(vectors(), MODALITIES), strict=True):
        torch.testing.assert_close(value.cpu(), expected, atol=1e-5, rtol=1e-4)
