"""Linear and MLP heads, and the folds over groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.preprocessing import StandardScaler
from torch import nn

from geojepa_cli.metrics import mlp
from geojepa_cli.metrics.boosting import BINS, LEARNING_RATE, fit_boostings
from geojepa_cli.metrics.folds import group_folds
from geojepa_cli.metrics.mlp import fit_mlp, set_gradients
from geojepa_cli.metrics.ridge import ALPHAS, fit_ridge, fit_ridges


def _problem(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * rng.uniform(0.1, 30, d) + rng.normal(size=d)
    y = x @ rng.normal(size=d) / 10 + rng.normal(size=n)
    return x, y, rng.integers(0, 12, n)


@pytest.mark.parametrize(("n", "d"), [(80, 10), (30, 60)])
@pytest.mark.parametrize("alpha", [0.5, 100.0])
def test_ridge_equals_sklearn_on_standardised_features(n: int, d: int, alpha: float) -> None:
    x, y, groups = _problem(n, d)
    scaler = StandardScaler().fit(x)
    oracle = SklearnRidge(alpha=alpha, solver="svd").fit(scaler.transform(x), y)
    new = _problem(20, d, seed=1)[0]
    ours = fit_ridge(x, y, groups, alphas=(alpha,))
    np.testing.assert_allclose(ours.predict(new), oracle.predict(scaler.transform(new)), rtol=1e-8, atol=1e-8)


def test_a_constant_feature_changes_nothing() -> None:
    x, y, groups = _problem(60, 5)
    with_constant = np.hstack([x, np.full((60, 1), 7.3)])
    shifted = with_constant.copy()
    shifted[:, -1] += 1000  # unseen in training: it must not enter the prediction
    np.testing.assert_allclose(
        fit_ridge(with_constant, y, groups).predict(shifted), fit_ridge(x, y, groups).predict(x), rtol=1e-6
    )


def test_alpha_is_the_one_with_the_lowest_error_over_group_folds() -> None:
    x, y, groups = _problem(120, 40, seed=3)
    fold = group_folds(groups, 5, seed=0)
    errors = []
    for alpha in ALPHAS:
        total = 0.0
        for f in range(5):
            scaler = StandardScaler().fit(x[fold != f])
            model = SklearnRidge(alpha=alpha, solver="svd").fit(scaler.transform(x[fold != f]), y[fold != f])
            total += np.abs(model.predict(scaler.transform(x[fold == f])) - y[fold == f]).sum()
        errors.append(total)
    assert fit_ridge(x, y, groups).alpha == ALPHAS[int(np.argmin(errors))]


def test_pure_noise_is_shrunk_towards_the_mean() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(100, 80)), rng.normal(size=100)
    groups = rng.integers(0, 20, 100)
    noise, signal = fit_ridge(x, y, groups), fit_ridge(x, x @ rng.normal(size=80), groups)
    assert noise.alpha >= 10 * signal.alpha
    assert noise.predict(x).std() < 0.6 * y.std()


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60).filter(lambda g: len(set(g)) > 1), st.integers(2, 6))
def test_a_group_is_never_split_and_no_fold_is_empty(groups: list[int], k: int) -> None:
    fold = group_folds(np.array(groups), k, seed=1)
    for group in set(groups):
        assert len({int(f) for f, g in zip(fold, groups, strict=True) if g == group}) == 1
    assert set(fold.tolist()) == set(range(min(k, len(set(groups)))))


def test_one_group_has_no_folds() -> None:
    with pytest.raises(ValueError, match="two groups"):
        group_folds(np.zeros(5), 3)


def test_mlp_learns_a_nonlinear_function() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1200, 4, generator=generator)
    y = x[:, 0].abs() * 3
    head = fit_mlp(x[:800], y[:800], x[800:1000], y[800:1000])
    linear = fit_ridge(x[:800].numpy(), y[:800].numpy(), np.arange(800) % 10)
    mlp_error = (head.predict(x[1000:]) - y[1000:]).abs().mean()
    linear_error = np.abs(linear.predict(x[1000:].numpy()) - y[1000:].numpy()).mean()
    assert mlp_error < 0.4 * linear_error


def test_mlp_is_reproducible_and_keeps_the_callers_random_state() -> None:
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(1))
    y = x.sum(1)
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first = fit_mlp(x, y, x, y, max_epochs=5, seed=4).predict(x)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(12)
    assert torch.equal(fit_mlp(x, y, x, y, max_epochs=5, seed=4).predict(x), first)
    assert not torch.equal(fit_mlp(x, y, x, y, max_epochs=5, seed=5).predict(x), first)


def test_mlp_on_equal_labels_predicts_them() -> None:
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(2))
    head = fit_mlp(x, torch.full((40,), 6.0), x[:0], torch.empty(0), max_epochs=60)
    assert (head.predict(x) - 6).abs().mean() < 0.3


@pytest.mark.parametrize("hidden", [None, 7])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_gradients_of_a_training_step_equal_those_of_autograd(hidden: int | None, dropout: float) -> None:
    generator = torch.Generator().manual_seed(5)
    x, y = torch.randn(30, 4, generator=generator).double(), torch.randn(30, generator=generator).double()
    layers = [nn.Linear(4, 1)] if hidden is None else [nn.Linear(4, hidden), nn.GELU(), nn.Linear(hidden, 1)]
    net = nn.Sequential(*layers).double()
    set_gradients(net, x, y, dropout, generator.manual_seed(6))
    ours = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
    predicted = net(x)
    if hidden is not None:
        kept = torch.rand(30, hidden, generator=generator.manual_seed(6)) >= dropout
        predicted = net[2](net[1](net[0](x)) * kept / (1 - dropout))
    expected = torch.autograd.grad(nn.functional.mse_loss(predicted.squeeze(1), y), list(net.parameters()))
    assert len(ours) == len(expected)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_mlp_training_on_a_plateau_halves_the_learning_rate_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    rates, train = [], mlp._train_epoch

    def record(net: nn.Sequential, optimizer: torch.optim.Optimizer, *given: Any) -> None:
        train(net, optimizer, *given)
        rates.append(optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(mlp, "_train_epoch", record)
    x = torch.randn(90, 3, generator=torch.Generator().manual_seed(7))
    slow = 1e-6  # the error of the first epoch is never improved
    assert fit_mlp(x, x[:, 0], x, x[:, 0], learning_rate=slow, patience=5).epochs >= 1
    assert rates == [slow, slow, slow, slow / 2, slow / 2, slow / 4]


@pytest.mark.parametrize(("n", "d"), [(150, 20), (60, 90)])
def test_ridges_of_several_columns_equal_those_fitted_one_by_one(n: int, d: int) -> None:
    x, y, groups = _problem(n, d, seed=6)
    ys = np.column_stack([y, np.random.default_rng(7).normal(size=n), y > y.mean()])
    clamps = ((-5.0, 5.0), None, (0.0, 1.0))
    together = fit_ridges(x, ys, groups, clamps=clamps)
    for column, clamp in enumerate(clamps):
        alone = fit_ridge(x, ys[:, column], groups, clamp=clamp)
        assert together[column].alpha == alone.alpha
        np.testing.assert_allclose(together[column].predict(x), alone.predict(x), rtol=1e-9, atol=1e-9)


def test_ridge_is_exact_where_the_mean_of_a_feature_is_much_larger_than_its_deviation() -> None:
    x, y, groups = _problem(200, 6, seed=8)
    far = x + 1e6
    scaler = StandardScaler().fit(far)
    oracle = SklearnRidge(alpha=10.0, solver="svd").fit(scaler.transform(far), y)
    ours = fit_ridge(far, y, groups, alphas=(10.0,))
    np.testing.assert_allclose(ours.predict(far), oracle.predict(scaler.transform(far)), rtol=1e-6, atol=1e-6)


def test_the_linear_model_by_gradient_descent_approaches_least_squares() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(900, 5, generator=generator) * torch.tensor([1.0, 10.0, 0.1, 3.0, 1.0]) + 4
    y = x @ torch.tensor([1.0, -0.2, 5.0, 0.0, 2.0]) + 0.1 * torch.randn(900, generator=generator)
    head = fit_mlp(x[:600], y[:600], x[600:800], y[600:800], hidden=None)
    assert sum(parameter.numel() for parameter in head.net.parameters()) == 6
    exact = np.linalg.lstsq(np.c_[x[:600].numpy(), np.ones(600)], y[:600].numpy(), rcond=None)[0]
    expected = np.c_[x[800:].numpy(), np.ones(100)] @ exact
    assert np.abs(head.predict(x[800:]).numpy() - expected).mean() < 0.05 * float(y.std())


def test_boosting_takes_the_loss_and_the_trees_with_the_lowest_validation_error() -> None:
    x, y, _ = _problem(240, 4, seed=2)
    y = np.exp(y)  # skewed: the two losses differ
    column = y[:, None]
    (head,) = fit_boostings(x[:160], column[:160], x[160:200], column[160:200], trees=12, clamps=((0.0, 50.0),))
    errors = {}
    for loss in ("squared_error", "absolute_error"):
        for trees in range(1, 13):
            model = HistGradientBoostingRegressor(
                loss=loss, max_iter=trees, learning_rate=LEARNING_RATE, max_bins=BINS, early_stopping=False
            ).fit(x[:160], y[:160])
            predicted = model.predict(x[160:200]).clip(0, 50)
            errors[loss, trees] = np.abs(predicted - y[160:200]).mean(), model.predict(x[200:])
    best = min(errors, key=lambda key: errors[key][0])
    assert (head.loss, head.trees) == best
    np.testing.assert_allclose(head.predict(x[200:]), errors[best][1])


def test_boosting_of_several_columns_equals_sklearns_fitted_one_by_one() -> None:
    x, y, _ = _problem(200, 5, seed=9)
    ys = np.column_stack([y, y > y.mean(), np.exp(y / 4)])
    clamps = ((-3.0, 3.0), (0.0, 1.0), None)
    together = fit_boostings(x[:140], ys[:140], x[140:], ys[140:], trees=8, clamps=clamps)
    for column, clamp in enumerate(clamps):
        own = ys[:, [column]]
        (alone,) = fit_boostings(x[:140], own[:140], x[140:], own[140:], trees=8, clamps=(clamp,))
        assert (together[column].loss, together[column].trees) == (alone.loss, alone.trees)
        oracle = HistGradientBoostingRegressor(
            loss=alone.loss, max_iter=alone.trees, learning_rate=LEARNING_RATE, max_bins=BINS, early_stopping=False
        ).fit(x[:140], ys[:140, column])
        for head in (together[column], alone):
            np.testing.assert_array_equal(head.predict(x), oracle.predict(x))


def test_a_column_that_one_group_alone_has_is_as_harmless_as_if_each_fold_were_fitted_from_its_own_rows() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 30)
    x = rng.poisson(3.0, (1200, 60)).astype(np.float64)
    for column in range(30):
        x[groups != column, column] = 0
    y = x[:, 30:] @ rng.normal(size=30) + rng.normal(0, 3, 1200)
    fold = group_folds(groups, 5, 0)
    error = np.zeros(len(ALPHAS))
    for held_out in range(5):
        train, test = fold != held_out, fold == held_out
        for place, alpha in enumerate(ALPHAS):
            scaler = StandardScaler().fit(x[train])
            model = SklearnRidge(alpha).fit(scaler.transform(x[train]), y[train])
            error[place] += np.abs(model.predict(scaler.transform(x[test])) - y[test]).sum()
    ridge = fit_ridge(x, y, groups)
    assert ridge.alpha == ALPHAS[int(error.argmin())] <= 100
    assert np.abs(ridge.predict(x) - y).mean() < 4
