"""InfoNCE with masks for false negatives, against sums written out with scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from geojepa_cli.nn.losses.contrastive import info_nce_pairs, info_nce_queue, share_first, unit

Q, C, E, TAU = 12, 20, 6, 0.07


def vectors(count: int, seed: int) -> torch.Tensor:
    return unit(torch.randn(count, E, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def masks(rows: int, columns: int, seed: int, share: float = 0.3) -> torch.Tensor:
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_pairs_equal_the_formula(share: float) -> None:
    a, r, left_out = vectors(Q, 0), vectors(Q, 1), masks(Q, Q, 2, share)
    found = info_nce_pairs(a, r, left_out, TAU)
    scores = (a @ r.t()).numpy() / TAU
    for i in range(Q):
        kept = [k for k in range(Q) if k == i or not left_out[i, k]]
        assert float(found[i]) == pytest.approx(logsumexp(scores[i, kept]) - scores[i, i], abs=1e-12)
    if share == 1.0:
        assert found.abs().max() < 1e-12  # no negatives


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_queue_equals_the_formula(share: float) -> None:
    a, own, queue, left_out = vectors(Q, 0), vectors(Q, 1), vectors(C, 2), masks(Q, C, 3, share)
    found = info_nce_queue(a, own, queue, left_out, TAU)
    for i in range(Q):
        positive = float(a[i] @ own[i]) / TAU
        negatives = [float(a[i] @ queue[k]) / TAU for k in range(C) if not left_out[i, k]]
        assert float(found[i]) == pytest.approx(logsumexp([positive, *negatives]) - positive, abs=1e-12)


def test_an_empty_queue_has_no_loss_and_finite_gradients() -> None:
    a = vectors(Q, 0).requires_grad_()
    own = vectors(Q, 1).requires_grad_()
    for queue in (vectors(C, 2), vectors(0, 2)):
        loss = info_nce_queue(a, own, queue, torch.ones(Q, len(queue), dtype=torch.bool), TAU)
        assert loss.abs().max() < 1e-12
        loss.sum().backward()
        assert a.grad is not None and own.grad is not None
        assert bool(torch.isfinite(a.grad).all()) and bool(torch.isfinite(own.grad).all())


def test_a_false_negative_that_is_left_out_receives_no_gradient() -> None:
    a, r, left_out = vectors(Q, 0), vectors(Q, 1).requires_grad_(), torch.zeros(Q, Q, dtype=torch.bool)
    left_out[0, 5] = True
    info_nce_pairs(a, r, left_out, TAU)[0].backward()
    assert r.grad is not None
    assert not r.grad[5].any() and bool(r.grad[4].any())


def test_shuffled_pairs_have_a_higher_loss_than_right_pairs() -> None:
    a = vectors(Q, 0)
    r = unit(a + 0.3 * vectors(Q, 1))
    none = torch.zeros(Q, Q, dtype=torch.bool)
    order = torch.arange(Q).roll(1)
    assert float(info_nce_pairs(a, r, none, TAU).mean()) < 0.5 * float(info_nce_pairs(a, r[order], none, TAU).mean())


def test_the_share_of_first_pairs_equals_a_loop() -> None:
    a = vectors(Q, 0)
    r, left_out = unit(a + 0.8 * vectors(Q, 1)), masks(Q, Q, 2)
    scores = (a @ r.t()).numpy()
    first = [all(scores[i, i] > scores[i, k] for k in range(Q) if k != i and not left_out[i, k]) for i in range(Q)]
    assert float(share_first(a, r, left_out)) == pytest.approx(np.mean(first))
    assert 0 < np.mean(first) < 1
    assert float(share_first(a[:0], r[:0], left_out[:0, :0])) == 0
