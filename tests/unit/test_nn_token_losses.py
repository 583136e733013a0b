"""Losses within a tile (InfoNCE, Gram anchoring) and figures by modality, against loops over tiles and tokens."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from geojepa_cli.models.jepa.gradients import watch_gradients
from geojepa_cli.nn.blocks import Blocks
from geojepa_cli.nn.losses.gram import gram_loss
from geojepa_cli.nn.losses.info_nce import info_nce
from geojepa_cli.nn.losses.prediction import mean_over_modalities, mean_over_tokens, modality_shares

TILES = torch.tensor([2, 0, 0, 2, 5, 0, 2, 0, 3, 2, 0])  # tiles 1 and 4 have no token, 3 and 5 have one
LENGTHS = torch.tensor([5, 0, 40, 1, 17, 3])


def vectors(count: int, seed: int = 0, dim: int = 6) -> Tensor:
    return torch.randn(count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cosine(a: Tensor, b: Tensor) -> float:
    return (a @ b).item() / math.sqrt((a @ a).item() * (b @ b).item())


def test_a_predicted_vector_is_compared_with_the_targets_of_its_tile() -> None:
    predicted, target = vectors(11), vectors(11, 1)
    found = info_nce(predicted, target, TILES, 6, temperature=0.3)
    for i in range(11):
        scores = {k: cosine(predicted[i], target[k]) / 0.3 for k in range(11) if TILES[k] == TILES[i]}
        expected = math.log(sum(map(math.exp, scores.values()))) - scores[i]
        assert float(found[i]) == pytest.approx(expected, abs=1e-9)
    assert found[4] == found[8] == 0.0


def test_an_equal_target_is_no_negative() -> None:
    predicted, target = vectors(4), vectors(4, 1)
    target[2] = 3.0 * target[0]  # the same direction
    found = info_nce(predicted, target, torch.zeros(4).long(), 1, temperature=0.5)
    scores = [cosine(predicted[0], target[k]) / 0.5 for k in (0, 1, 3)]
    assert float(found[0]) == pytest.approx(math.log(sum(map(math.exp, scores))) - scores[0])
    alone = info_nce(predicted[:1].repeat(3, 1), target[:1].repeat(3, 1), torch.zeros(3).long(), 1, 0.5)
    assert torch.equal(alone, torch.zeros_like(alone))


def test_the_loss_of_a_token_depends_on_its_tile_alone() -> None:
    predicted, target = vectors(11), vectors(11, 1)
    together = info_nce(predicted, target, TILES, 6, 0.1)
    for tile in (0, 2, 3, 5):
        rows = tile == TILES
        alone = info_nce(predicted[rows], target[rows], torch.zeros(int(rows.sum())).long(), 1, 0.1)
        torch.testing.assert_close(alone, together[rows], atol=1e-9, rtol=1e-9)


def test_info_nce_has_finite_gradients_for_the_prediction_alone() -> None:
    predicted, target = vectors(11).requires_grad_(), vectors(11, 1).requires_grad_()
    info_nce(predicted, target, TILES, 6, 0.1).mean().backward()
    assert target.grad is None and torch.isfinite(predicted.grad).all()
    rows = (TILES == 0) | (TILES == 2)
    assert bool((predicted.grad[rows].norm(dim=1) > 0).all())
    assert torch.equal(predicted.grad[~rows], torch.zeros(2, 6, dtype=torch.float64))
    nothing = torch.zeros(0, 6, requires_grad=True)
    info_nce(nothing, nothing, torch.zeros(0).long(), 2, 0.1).sum().backward()
    assert nothing.grad.shape == (0, 6)


def test_gram_anchoring_compares_the_similarities_within_each_tile() -> None:
    x, reference = vectors(66).requires_grad_(), vectors(66, 1).requires_grad_()
    losses, start = [], 0
    for n in filter(None, LENGTHS.tolist()):
        pairs = [(i, j) for i in range(start, start + n) for j in range(start, start + n)]
        gaps = [cosine(x[i], x[j]) - cosine(reference[i], reference[j]) for i, j in pairs]
        losses.append(sum(gap * gap for gap in gaps) / n**2)
        start += n
    found = gram_loss(x, reference, LENGTHS)
    assert found.item() == pytest.approx(sum(losses) / 5)
    found.backward()
    assert reference.grad is None and torch.isfinite(x.grad).all()


def test_gram_anchoring_costs_nothing_after_a_rotation_and_for_no_tokens() -> None:
    x, (rotation, _) = vectors(66), torch.linalg.qr(vectors(6, 2))
    assert float(gram_loss(2.0 * x @ rotation, x, LENGTHS)) < 1e-12
    nothing = torch.zeros(0, 6, requires_grad=True)
    assert gram_loss(nothing, nothing, torch.zeros(3).long()).item() == 0.0


def test_blocks_contain_every_token_once_next_to_the_tokens_of_its_sequence() -> None:
    blocks = Blocks.of(LENGTHS, 66)
    rows = torch.cat([block.index.flatten() for block in blocks])
    assert torch.equal(rows[blocks.row_of], torch.arange(66))
    assert sum(int(block.valid.sum()) for block in blocks) == 66
    sequences = torch.arange(6).repeat_interleave(LENGTHS)
    for block in blocks:
        for index, valid in zip(block.index, block.valid, strict=True):
            assert len(sequences[index[valid]].unique()) == 1
        shortest, length = int(block.valid.sum(1).min()), block.valid.shape[1]
        assert shortest >= 0.75 * length - 2


def test_the_summands_of_the_modalities_add_up_to_the_loss() -> None:
    values, modality = torch.rand(9), torch.tensor([0, 0, 2, 2, 2, 0, 2, 2, 2])
    weights = torch.tensor([1.0, 5.0, 3.0])
    found = modality_shares(values, modality, weights)
    expected = [values[modality == 0].mean() / 4, 0.0, 3 * values[modality == 2].mean() / 4]
    torch.testing.assert_close(found, torch.tensor(expected))
    torch.testing.assert_close(found.sum(), mean_over_modalities(values, modality, weights))


def test_the_share_of_a_modality_in_the_gradient_is_known_after_the_backward_pass() -> None:
    weight = torch.ones(1, requires_grad=True)
    content, modality = weight * vectors(5).float(), torch.tensor([0, 2, 0, 0, 2])
    shares = watch_gradients(content, modality, {"tags": 0, "image": 1, "geometry": 2})
    factor = vectors(5, 1).float()
    (content * factor).sum().backward()
    norms = [float(factor[modality == number].square().sum()) ** 0.5 for number in range(3)]
    assert list(shares) == ["grad_share_tags", "grad_share_image", "grad_share_geometry"]
    assert [float(value) for value in shares.values()] == pytest.approx([norm / sum(norms) for norm in norms])
    assert watch_gradients(content, modality, {"tags": 0}) == {}
    assert watch_gradients(content.detach(), modality, {"tags": 0, "image": 1}) == {}


def test_the_mean_over_tokens_is_that_of_a_loop() -> None:
    values, modality = torch.rand(9), torch.tensor([0, 0, 2, 2, 2, 0, 2, 2, 2])
    weights = torch.tensor([1.0, 5.0, 3.0])
    pairs = [(float(weights[number]), float(value)) for number, value in zip(modality, values, strict=True)]
    expected = sum(weight * value for weight, value in pairs) / sum(weight for weight, _ in pairs)
    assert float(mean_over_tokens(values, modality, weights)) == pytest.approx(expected, rel=1e-6)
    shares = modality_shares(values, modality, weights, by_token=True)
    tags = sum(float(value) for number, value in zip(modality, values, strict=True) if number == 0)
    assert float(shares[0]) == pytest.approx(tags / (3 + 6 * 3.0), rel=1e-6) and shares[1] == 0
    assert float(shares.sum()) == pytest.approx(expected, rel=1e-6)
