"""Ridge regression in closed form, with its penalty chosen by cross-validation over groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.metrics.folds import group_folds

Floats = NDArray[np.float64]

ALPHAS: tuple[float, ...] = tuple(float(10.0**e) for e in range(-1, 7))


@dataclass(frozen=True)
class Ridge:
    """A fitted linear head on standardised features.

    Attributes:
        mean, scale: mean and standard deviation of the training features, [d]; a constant feature has scale 1.
        weight: weights of the standardised features, [d].
        bias: mean of the training labels.
        alpha: penalty; see `fit_ridge`.
    """

    mean: Floats
    scale: Floats
    weight: Floats
    bias: float
    alpha: float

    def predict(self, x: NDArray[np.floating]) -> Floats:
        """Returns predicted labels [n] for features [n, d]."""
        return (np.asarray(x, np.float64) - self.mean) / self.scale @ self.weight + self.bias


def fit_ridge(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    groups: NDArray[np.generic],
    alphas: tuple[float, ...] = ALPHAS,
    folds: int = 5,
    seed: int = 0,
    clamp: tuple[float, float] | None = None,
) -> Ridge:
    """Fits least squares on standardised features with penalty `alpha * |weight|²`, in float64.

    `alpha` is chosen from `alphas` by the lowest MAE (the metric of probes) in an inner cross-validation over groups;
    among equal ones the largest. If there is only one group, the middle value of `alphas` is used.

    Args:
        x: features [n, d].
        y: labels [n].
        groups: block of every row [n].
        alphas: penalties to try.
        folds: number of folds of the inner cross-validation.
        seed: seed of the inner folds.
        clamp: minimum and maximum of predictions in the inner cross-validation; None for no limits.
    """
    wide, labels = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(alphas) == 1 or len(np.unique(groups)) < 2:
        alpha = alphas[len(alphas) // 2]
    else:
        alpha = _choose_alpha(wide, labels, group_folds(groups, folds, seed), alphas, clamp)
    return _solve_all(wide, labels, (alpha,))[0]


def _choose_alpha(
    x: Floats, y: Floats, fold: NDArray[np.int64], alphas: tuple[float, ...], clamp: tuple[float, float] | None
) -> float:
    error = np.zeros(len(alphas))
    for held_out in range(int(fold.max()) + 1):
        test = fold == held_out
        for i, model in enumerate(_solve_all(x[~test], y[~test], alphas)):
            predicted = model.predict(x[test])
            if clamp is not None:
                predicted = predicted.clip(*clamp)
            error[i] += np.abs(predicted - y[test]).sum()
    best = error.min()
    return max(alpha for alpha, value in zip(alphas, error, strict=True) if value == best)


def _solve_all(x: Floats, y: Floats, alphas: tuple[float, ...]) -> list[Ridge]:
    """Fits one model for each alpha, with a single eigendecomposition of the smaller Gram matrix."""
    mean = x.mean(axis=0)
    scale = x.std(axis=0)
    # a column that is constant up to rounding: dividing by its rounding error would inflate it
    scale = np.where(scale > 1e-9 * (1.0 + np.abs(mean)), scale, 1.0)
    standard = (x - mean) / scale
    bias = float(y.mean())
    centred = y - bias
    n, d = standard.shape
    wide = d > n
    # torch instead of numpy, because the caller sets its number of threads: the last bits depend on this number
    matrix, labels = torch.from_numpy(standard), torch.from_numpy(centred)
    values, vectors = torch.linalg.eigh(matrix @ matrix.T if wide else matrix.T @ matrix)
    values = values.clamp(min=0.0)
    right = vectors.T @ (labels if wide else matrix.T @ labels)
    models = []
    for alpha in alphas:
        solution = vectors @ (right / (values + alpha))
        weight = matrix.T @ solution if wide else solution
        models.append(Ridge(mean, scale, weight.numpy(), bias, alpha))
    return models
