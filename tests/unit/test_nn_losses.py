"""Losses against their formulas, written out; the moving average; positions."""

from __future__ import annotations

import math

import pytest
import torch
from tile_batches import rectangles
from torch import nn

from geojepa_cli.nn.ema import update_ema
from geojepa_cli.nn.losses.prediction import mean_over_modalities, smooth_l1, tile_prediction_loss
from geojepa_cli.nn.losses.vicreg import covariance_loss, variance_loss, vicreg
from geojepa_cli.nn.tokens.image import PatchEmbed, patch_boxes
from geojepa_cli.nn.tokens.position import PositionEncoding, rectangle_features


def test_smooth_l1_is_averaged_within_a_modality_and_then_over_modalities() -> None:
    predicted = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    target = torch.zeros(3, 2)
    modality = torch.tensor([0, 1, 1])
    # beta 2: d²/4 below 2, d - 1 from 2 on
    by_token = [0.0, (3.0 - 1.0) / 2, (5.0 - 1.0) / 2]
    first, second = by_token[0], (by_token[1] + by_token[2]) / 2
    found = mean_over_modalities(smooth_l1(predicted, target, beta=2.0), modality, torch.tensor([1.0, 3.0]))
    assert float(found) == pytest.approx((1.0 * first + 3.0 * second) / 4.0)


def test_a_modality_that_is_absent_has_no_weight() -> None:
    values = torch.tensor([2.0, 4.0])
    assert float(mean_over_modalities(values, torch.tensor([1, 1]), torch.tensor([1.0, 0.5]))) == pytest.approx(3.0)


def test_many_tokens_of_one_modality_weigh_no_more_than_few_of_another() -> None:
    values = torch.cat([torch.full((196,), 1.0), torch.full((5,), 3.0)])
    modality = torch.cat([torch.ones(196), torch.zeros(5)]).long()
    assert float(mean_over_modalities(values, modality, torch.ones(2))) == pytest.approx(2.0)


def test_no_gradient_flows_into_the_target() -> None:
    target = torch.zeros(2, 3, requires_grad=True)
    predicted = torch.ones(2, 3, requires_grad=True)
    smooth_l1(predicted, target, 1.0).mean().backward()
    assert target.grad is None
    assert predicted.grad is not None


def test_the_tile_target_is_max_mean_and_mean_by_log_count_standardised_over_the_batch() -> None:
    rng = torch.Generator().manual_seed(0)
    tiles = torch.randn(5, 4, dtype=torch.float64, generator=rng, requires_grad=True)  # D = 2
    predicted = 3.0 * torch.randn(5, 6, dtype=torch.float64, generator=rng)
    lengths = [1, 7, 40, 3, 200]
    rows = tiles.tolist()
    targets = [[*row, row[2] * math.log(n), row[3] * math.log(n)] for row, n in zip(rows, lengths, strict=True)]
    total = 0.0
    for j in range(6):
        column = [row[j] for row in targets]
        mean = sum(column) / 5
        spread = math.sqrt(sum((value - mean) ** 2 for value in column) / 5)
        for i in range(5):
            d = abs(float(predicted[i, j]) - (column[i] - mean) / (spread + 1e-3))
            total += d * d / 2 if d < 1 else d - 0.5
    loss = tile_prediction_loss(predicted.requires_grad_(), tiles, torch.tensor(lengths))
    assert loss.item() == pytest.approx(total / 30)
    loss.backward()
    assert tiles.grad is None
    assert predicted.grad is not None


def test_a_batch_of_one_tile_has_a_finite_tile_loss() -> None:
    assert torch.isfinite(tile_prediction_loss(torch.ones(1, 6), torch.ones(1, 4), torch.tensor([9])))


def test_variance_and_covariance_are_those_of_the_paper() -> None:
    x = torch.randn(11, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.7
    n, d = x.shape
    rows = x.tolist()
    mean = [sum(row[j] for row in rows) / n for j in range(d)]

    def covariance(i: int, j: int) -> float:
        return sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in rows) / (n - 1)

    variance = sum(max(0.0, 1.0 - math.sqrt(covariance(j, j) + 1e-4)) for j in range(d)) / d
    off_diagonal = sum(covariance(i, j) ** 2 for i in range(d) for j in range(d) if i != j) / d
    assert float(variance_loss(x)) == pytest.approx(variance)
    assert float(covariance_loss(x)) == pytest.approx(off_diagonal)


def test_vicreg_is_taken_within_each_modality() -> None:
    near, far = torch.randn(40, 3) * 0.1, torch.randn(40, 3) * 0.1 + 10.0
    x, modality = torch.cat([near, far]), torch.cat([torch.zeros(40), torch.ones(40)]).long()
    found = vicreg(x, modality, 2)
    assert float(found.variance) == pytest.approx(float(variance_loss(near) + variance_loss(far)) / 2, rel=1e-5)
    assert float(variance_loss(x)) == 0.0  # pooled, the distance between the two would satisfy it
    assert float(found.variance) > 0.8


def test_too_few_tokens_cost_nothing_and_give_no_nan() -> None:
    x = torch.ones(1, 3, requires_grad=True)
    found = vicreg(x, torch.zeros(1, dtype=torch.int64), 2)
    (found.variance + found.covariance).backward()
    assert found.variance.item() == found.covariance.item() == 0.0
    assert torch.equal(x.grad, torch.zeros(1, 3))


def test_the_target_is_an_exponential_moving_average() -> None:
    target, source = nn.Linear(3, 2), nn.Linear(3, 2)
    expected = [
        0.9 * t.detach().clone() + 0.1 * s.detach()
        for t, s in zip(target.parameters(), source.parameters(), strict=False)
    ]
    update_ema(target, source, 0.9)
    for found, wanted in zip(target.parameters(), expected, strict=True):
        torch.testing.assert_close(found.detach(), wanted)


def test_a_rectangle_is_the_same_from_any_corner_and_a_turn_by_180_degrees() -> None:
    box = rectangles(20, torch.Generator().manual_seed(0)).double()
    features = rectangle_features(box)
    for turn in range(1, 4):
        torch.testing.assert_close(rectangle_features(box.roll(2 * turn, dims=1)), features, atol=1e-5, rtol=1e-4)


def test_a_rectangles_centre_and_sides() -> None:
    box = torch.tensor([[0.5, 0.25, 0.9, 0.25, 0.9, 0.35, 0.5, 0.35]])
    found = rectangle_features(box)[0]
    assert found[:2].tolist() == pytest.approx([0.4, -0.4], abs=1e-6)
    sides = [math.log(0.4 / 0.003 + 1) - 3, math.log(0.1 / 0.003 + 1) - 3]
    assert found[2:4].tolist() == pytest.approx(sides, abs=1e-4)
    assert found[4:6].tolist() == pytest.approx([1.0, 0.0], abs=1e-6)  # the long side runs east: no turn


@pytest.mark.parametrize("rectangle", [True, False])
def test_positions_tell_boxes_and_modalities_apart(rectangle: bool) -> None:
    encode = PositionEncoding(16, 2, rectangle)
    box = rectangles(2, torch.Generator().manual_seed(0))
    found = encode(torch.cat([box, box[:1]]), torch.tensor([0, 0, 1]))
    assert not torch.allclose(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


def test_patches_run_from_the_north_west_row_by_row() -> None:
    embed = PatchEmbed(4, 112)
    assert patch_boxes(2)[0].tolist() == [0.0, 0.5, 0.5, 0.5, 0.5, 1.0, 0.0, 1.0]
    assert patch_boxes(2)[3].tolist() == [0.5, 0.0, 1.0, 0.0, 1.0, 0.5, 0.5, 0.5]
    images = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
    images[0, :, :112, 112:] = 255  # the north-east quarter
    found = embed(images)
    assert torch.allclose(found[0], found[2])
    assert torch.allclose(found[0], found[3])
    assert not torch.allclose(found[0], found[1])
