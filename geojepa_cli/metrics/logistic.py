"""Multinomial logistic regression with an L2 penalty that is chosen on validation rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

# Weight of the penalty per training row, from strong to weak: each fit starts from the result of the previous one.
PENALTIES: tuple[float, ...] = tuple(float(10.0**e) for e in (0, -1, -2, -3))
MAX_ITERATIONS, TOLERANCE = 200, 1e-4
SEARCH_TOLERANCE = 1e-3  # while the penalty is searched


@dataclass(frozen=True)
class Logistic:
    """Fitted logistic regression on standardised features.

    Attributes:
        mean, scale: mean and standard deviation of the training features, [d]. A constant feature has the scale 1.
        weight: weights of the standardised features, [d, classes].
        bias: bias of each class, [classes].
        penalty: weight of the penalty, see `fit_logistic`.
    """

    mean: Floats
    scale: Floats
    weight: Floats
    bias: Floats
    penalty: float

    def predict(self, x: NDArray[np.floating]) -> Floats:
        """Returns the probability of each class [n, classes] for features [n, d]."""
        scores = (np.asarray(x, np.float64) - self.mean) / self.scale @ self.weight + self.bias
        scores -= scores.max(axis=1, keepdims=True)
        raised = np.exp(scores)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)


def fit_logistic(
    x: NDArray[np.floating],
    y: Labels,
    classes: int,
    train: Labels,
    val: Labels,
    penalties: tuple[float, ...] = PENALTIES,
) -> Logistic:
    """Fits a multinomial logistic regression (`LogisticRegression` of scikit-learn) on standardised features.

    Minimises the mean cross-entropy + `penalty / 2 * |weight|²`. The bias has no penalty. Penalties are tried from
    strong to weak, until the cross-entropy on the validation rows rises. The penalty with the lowest cross-entropy is
    used; of equal ones, the largest. The final model is fitted to the training and validation rows with this penalty,
    from the weights that the search found.

    Args:
        x: features [n, d].
        y: class of each row, 0 to `classes` - 1 [n].
        classes: number of classes. A class without a training row gets the probability 0.
        train, val: indexes of the training and validation rows. Without validation rows, the middle penalty is used.
        penalties: penalties to try, in descending order.
    """
    rows = np.concatenate([train, val])
    if not len(val) or len(penalties) == 1:
        return next(_path(x[rows], y[rows], classes, (penalties[len(penalties) // 2],), TOLERANCE))
    best: Logistic | None = None
    lowest = np.inf
    for model in _path(x[train], y[train], classes, penalties, SEARCH_TOLERANCE):
        loss = cross_entropy(model.predict(x[val]), y[val])
        if loss >= lowest:
            break
        best, lowest = model, loss
    assert best is not None
    return next(_path(x[rows], y[rows], classes, (best.penalty,), TOLERANCE, best))


def cross_entropy(probabilities: Floats, y: Labels) -> float:
    """Returns the mean negative logarithm of the probability of the true class."""
    true = probabilities[np.arange(len(y)), y]
    return float(-np.log(np.maximum(true, 1e-300)).mean())


def _path(
    x: NDArray[np.floating],
    y: Labels,
    classes: int,
    penalties: tuple[float, ...],
    tolerance: float,
    start: Logistic | None = None,
) -> Iterator[Logistic]:
    """Yields a logistic regression for each penalty. Each fit starts from the previous one, the first from `start`."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    wide = np.asarray(x, np.float64)
    mean, scale = wide.mean(axis=0), wide.std(axis=0)
    # the computed deviation of a constant column is only rounding error: dividing by it would inflate the column
    scale = np.where(scale > 1e-9 * (1.0 + np.abs(mean)), scale, 1.0)
    standard = ((wide - mean) / scale).astype(np.float32)
    known = np.unique(y)
    if len(known) < 2:
        weight, bias = _spread(np.zeros((1, wide.shape[1])), np.zeros(1), known, classes)
        yield from (Logistic(mean, scale, weight, bias, penalty) for penalty in penalties)
        return
    solver = LogisticRegression(max_iter=MAX_ITERATIONS, tol=tolerance, warm_start=True)
    if start is not None and np.isfinite(start.bias[known]).all():
        weight = start.weight / start.scale[:, None]  # of features that are not standardised
        bias = start.bias + (mean - start.mean) @ weight
        solver.coef_, solver.intercept_ = _gathered(weight * scale[:, None], bias, known)
    for penalty in penalties:
        with (
            threadpool_limits(1),
            warnings.catch_warnings(),
        ):  # one thread, because the order of sums depends on their number
            warnings.simplefilter("ignore", ConvergenceWarning)
            solver.set_params(C=1.0 / (len(wide) * penalty)).fit(standard, y)
        weight, bias = _spread(solver.coef_, solver.intercept_, known, classes)
        yield Logistic(mean, scale, weight, bias, penalty)


def _spread(coefficients: Floats, intercepts: Floats, known: Labels, classes: int) -> tuple[Floats, Floats]:
    """Returns the weights [d, classes] and biases [classes] of all classes, from those that scikit-learn returns.

    For two classes, scikit-learn returns only one weight vector, for the second class relative to the first.
    """
    if len(known) == 2:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    weight, bias = np.zeros((coefficients.shape[1], classes)), np.full(classes, -np.inf)
    weight[:, known], bias[known] = coefficients.T, intercepts
    return weight, bias


def _gathered(weight: Floats, bias: Floats, known: Labels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns coefficients and intercepts as scikit-learn has them, from weights and biases: inverts `_spread`."""
    coefficients, intercepts = weight[:, known].T, bias[known]
    if len(known) == 2:
        coefficients, intercepts = coefficients[1:] - coefficients[:1], intercepts[1:] - intercepts[:1]
    return coefficients.astype(np.float32), intercepts.astype(np.float32)
