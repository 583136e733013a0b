"""Ridge regression in closed form. Cross-validation over groups of tiles chooses the penalty."""

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
    """Fitted ridge regression: a linear model of standardised features.

    Attributes:
        mean, scale: mean and standard deviation of the training features, [d]. A constant feature has the scale 1.
        weight: weight of each standardised feature, [d].
        bias: mean of the training labels.
        alpha: weight of the penalty, see `fit_ridge`.
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
    """Fits a ridge regression to standardised features. Minimises squared error + `alpha * |weight|²`, in float64.

    The value of `alpha` with the lowest mean absolute error in a cross-validation on the given rows is used. If several
    values have the same error, the largest is used. With a single group, cross-validation is impossible, and the middle
    value of `alphas` is used.

    Args:
        x: features [n, d].
        y: labels [n].
        groups: group of each row [n]. Rows of one group are always in the same fold of the cross-validation.
        alphas: values of `alpha` to try.
        folds: number of folds of the cross-validation.
        seed: random seed of the folds.
        clamp: minimum and maximum to which predictions in the cross-validation are clipped. None does not clip them.
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
    """Fits one ridge regression for each value in `alphas`. A single eigendecomposition is used for all of them."""
    mean = x.mean(axis=0)
    scale = x.std(axis=0)
    # the computed deviation of a constant column is only rounding error: dividing by it would inflate the column
    scale = np.where(scale > 1e-9 * (1.0 + np.abs(mean)), scale, 1.0)
    standard = (x - mean) / scale
    bias = float(y.mean())
    centred = y - bias
    n, d = standard.shape
    wide = d > n
    # torch instead of numpy: the last bits depend on the number of threads, which the caller sets for torch
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
