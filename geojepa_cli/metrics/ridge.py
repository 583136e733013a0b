"""Ridge regression in closed form. Cross-validation over groups of tiles chooses the penalty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.metrics.folds import group_folds
from geojepa_cli.metrics.label_forms import PLAIN, LabelForm

Floats = NDArray[np.float64]
Clamp = tuple[float, float] | None

ALPHAS: tuple[float, ...] = tuple(float(10.0**e) for e in range(-1, 7))
MAX_CHUNK = 4096  # rows that are copied to float64 together
ROUNDING = 1e-12  # upper limit of the rounding error of a variance, relative to the variance over all rows


@dataclass(frozen=True)
class Ridge:
    """Fitted ridge regression: a linear model of standardised features.

    Attributes:
        mean, scale: mean and standard deviation of the training features, [d]. A constant feature has the scale 1.
        weight: weight of each standardised feature, [d].
        bias: mean of the training labels, in the form `form`.
        alpha: weight of the penalty, see `fit_ridge`.
        form: form of the labels to which the regression is fitted.
    """

    mean: Floats
    scale: Floats
    weight: Floats
    bias: float
    alpha: float
    form: LabelForm = PLAIN

    def predict(self, x: NDArray[np.floating]) -> Floats:
        """Returns predicted labels [n] for features [n, d]."""
        return self.form.invert(self.predict_in_form(x))

    def predict_in_form(self, x: NDArray[np.floating]) -> Floats:
        """Returns predicted labels in the form `form`, [n], for features [n, d]."""
        return (np.asarray(x, np.float64) - self.mean) / self.scale @ self.weight + self.bias


@dataclass(frozen=True)
class _Moments:
    """Sums over n rows of features x and labels y, from which a ridge regression of these rows can be computed.

    A constant was subtracted from each feature.

    Attributes:
        rows: number of rows.
        x, y: sums of features [d] and labels [t].
        xx, xy: sums of products: features with features [d, d], features with labels [d, t].
    """

    rows: int
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor

    def __add__(self, other: _Moments) -> _Moments:
        sums = (self.x + other.x, self.y + other.y, self.xx + other.xx, self.xy + other.xy)
        return _Moments(self.rows + other.rows, *sums)

    def __sub__(self, other: _Moments) -> _Moments:
        sums = (self.x - other.x, self.y - other.y, self.xx - other.xx, self.xy - other.xy)
        return _Moments(self.rows - other.rows, *sums)


def fit_ridge(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    groups: NDArray[np.generic],
    alphas: tuple[float, ...] = ALPHAS,
    folds: int = 5,
    seed: int = 0,
    clamp: Clamp = None,
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
    return fit_ridges(x, np.asarray(y)[:, None], groups, alphas, folds, seed, (clamp,))[0]


def fit_ridges(
    x: NDArray[np.floating],
    ys: NDArray[np.floating],
    groups: NDArray[np.generic],
    alphas: tuple[float, ...] = ALPHAS,
    folds: int = 5,
    seed: int = 0,
    clamps: Sequence[Clamp] = (),
    forms: Sequence[Sequence[LabelForm]] = (),
) -> list[Ridge]:
    """Fits one ridge regression for each column of labels, as `fit_ridge` does for one column.

    The same cross-validation chooses the form of the labels. If several forms have the same error, the first is used.
    If cross-validation is impossible or there is only one `alpha`, the first form is used.

    Args:
        x: features [n, d].
        ys: labels [n, t]. The best `alpha` is chosen separately for each column.
        groups: group of each row [n].
        alphas: values of `alpha` to try.
        folds: number of folds of the cross-validation.
        seed: random seed of the folds.
        clamps: for each column, the minimum and maximum to which predictions in the cross-validation are clipped, or
            None. Empty: no predictions are clipped.
        forms: for each column, the forms of labels to try. Empty: only plain labels.
    """
    wanted: Floats = np.ascontiguousarray(ys, np.float64)
    tried = [_Tried(column, form) for column, of in enumerate(forms or [(PLAIN,)] * ys.shape[1]) for form in of]
    labels = torch.from_numpy(np.column_stack([one.form.apply(wanted[:, one.column]) for one in tried]))
    shift: Floats = x.mean(axis=0, dtype=np.float64)
    error = np.zeros((len(alphas), len(tried)))
    if len(alphas) == 1 or len(np.unique(groups)) < 2:
        parts = [np.arange(len(x))]
    else:
        fold = group_folds(groups, folds, seed)
        parts = [np.flatnonzero(fold == held_out) for held_out in range(int(fold.max()) + 1)]
    tall = x.shape[1] <= len(x) // 2
    sums = [_moments(x, labels, rows, shift) for rows in parts] if tall else []
    total = reduce(_Moments.__add__, sums) if tall else None
    if len(parts) > 1:
        for index, held_out in enumerate(parts):
            if total is not None:
                fitted = _solve_tall(total - sums[index], total, shift, alphas)
            else:
                rest = np.concatenate([rows for place, rows in enumerate(parts) if place != index])
                fitted = _solve_wide(np.asarray(x[np.sort(rest)], np.float64), labels[np.sort(rest)], alphas)
            error += _errors(fitted, x, wanted, tried, held_out, clamps)
    else:
        error[np.arange(len(alphas)) != len(alphas) // 2] = np.inf
    chosen = [_best(error, alphas, tried, column) for column in range(ys.shape[1])]
    values = tuple(sorted({alpha for _, alpha in chosen}))
    if total is not None:
        final = _solve_tall(total, total, shift, values)
    else:
        final = _solve_wide(np.asarray(x, np.float64), labels, values)
    return [final.ridge(values.index(alpha), place, tried[place].form) for place, alpha in chosen]


class _Tried(NamedTuple):
    """A form in which a column of labels is tried."""

    column: int
    form: LabelForm


def _best(error: Floats, alphas: tuple[float, ...], tried: Sequence[_Tried], column: int) -> tuple[int, float]:
    """Returns the place of the best form of a column of labels in `tried`, and the best `alpha`.

    Args:
        error: error with each `alpha` and each form, [a, t].
        alphas: values of `alpha`.
        tried: forms.
        column: column of labels.
    """
    places = [place for place, one in enumerate(tried) if one.column == column]
    place = min(places, key=lambda one: float(error[:, one].min()))
    lowest = error[:, place] == error[:, place].min()
    return place, max(alpha for alpha, found in zip(alphas, lowest, strict=True) if found)


@dataclass(frozen=True)
class _Solutions:
    """Ridge regressions with every `alpha` [a] and for every form of every column of labels [t].

    Attributes:
        mean, scale: mean and standard deviation of the features, [d].
        weight: weights, [a, d, t].
        bias: means of the labels, [t].
        alphas: values of `alpha`.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    alphas: tuple[float, ...]

    def ridge(self, place: int, column: int, form: LabelForm) -> Ridge:
        weight = np.ascontiguousarray(self.weight[place, :, column].numpy())
        return Ridge(self.mean.numpy(), self.scale.numpy(), weight, float(self.bias[column]), self.alphas[place], form)


def _moments(x: NDArray[np.floating], labels: Tensor, rows: NDArray[np.int64], shift: Floats) -> _Moments:
    """Returns the sums over some rows. First subtracts `shift` from the features, which keeps the sums accurate."""
    parts = []
    for start in range(0, len(rows), MAX_CHUNK):
        chunk = rows[start : start + MAX_CHUNK]
        # torch instead of numpy: the last bits depend on the number of threads, which the caller sets for torch
        features, wanted = torch.from_numpy(x[chunk].astype(np.float64) - shift), labels[torch.from_numpy(chunk)]
        sums = (features.sum(0), wanted.sum(0), features.T @ features, features.T @ wanted)
        parts.append(_Moments(len(chunk), *sums))
    return reduce(_Moments.__add__, parts)


def _solve_tall(sums: _Moments, total: _Moments, shift: Floats, alphas: tuple[float, ...]) -> _Solutions:
    """Computes ridge regressions from the sums over some rows, by solving the normal equations.

    `sums` may be the difference between `total` and other sums, and then has rounding errors. Because of them, a column
    that is constant in these rows can have a small variance. Such a column is treated as constant.

    Args:
        sums: sums over the rows to fit to.
        total: sums over all rows, from which the size of the rounding errors is estimated.
        shift: constant that was subtracted from each feature.
        alphas: values of `alpha`.
    """
    mean, bias = sums.x / sums.rows, sums.y / sums.rows
    covariance = sums.xx - sums.rows * torch.outer(mean, mean)
    variance = covariance.diagonal().clamp(min=0) / sums.rows
    whole = torch.from_numpy(shift) + mean
    scale = _usable(variance.sqrt(), whole)
    rounding = ROUNDING * total.xx.diagonal() / total.rows
    scale = torch.where(variance > rounding, scale, torch.ones_like(scale))
    values, vectors = torch.linalg.eigh(covariance / torch.outer(scale, scale))
    right = vectors.T @ ((sums.xy - sums.rows * torch.outer(mean, bias)) / scale[:, None])
    values = values.clamp(min=0.0)
    weight = torch.stack([vectors @ (right / (values + alpha)[:, None]) for alpha in alphas])
    return _Solutions(whole, scale, weight, bias, alphas)


def _solve_wide(x: Floats, labels: Tensor, alphas: tuple[float, ...]) -> _Solutions:
    """Computes ridge regressions by solving the dual problem, which is faster if there are more features than rows."""
    features = torch.from_numpy(x)
    mean, bias = features.mean(0), labels.mean(0)
    scale = _usable(features.std(0, correction=0), mean)
    standard = (features - mean) / scale
    values, vectors = torch.linalg.eigh(standard @ standard.T)
    right, values = vectors.T @ (labels - bias), values.clamp(min=0.0)
    weight = torch.stack([standard.T @ (vectors @ (right / (values + alpha)[:, None])) for alpha in alphas])
    return _Solutions(mean, scale, weight, bias, alphas)


def _usable(scale: Tensor, mean: Tensor) -> Tensor:
    # the computed deviation of a constant column is only rounding error: dividing by it would inflate the column
    return torch.where(scale > 1e-9 * (1.0 + mean.abs()), scale, torch.ones_like(scale))


def _errors(
    fitted: _Solutions,
    x: NDArray[np.floating],
    ys: Floats,
    tried: Sequence[_Tried],
    rows: NDArray[np.int64],
    clamps: Sequence[Clamp],
) -> Floats:
    """Returns the sum of absolute errors of labels on some rows, for each `alpha` and each form, float64 [a, t]."""
    a, d, t = fitted.weight.shape
    features = (torch.from_numpy(x[rows].astype(np.float64)) - fitted.mean) / fitted.scale
    predicted = (features @ fitted.weight.permute(1, 0, 2).reshape(d, a * t)).reshape(-1, a, t) + fitted.bias
    errors = np.empty((a, t))
    for place, (column, form) in enumerate(tried):
        found, clamp = form.invert(predicted[:, :, place].numpy()), clamps[column] if clamps else None
        errors[:, place] = np.abs((found if clamp is None else found.clip(*clamp)) - ys[rows, column, None]).sum(0)
    return errors
