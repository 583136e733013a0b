"""Gradient boosting of decision trees on feature vectors. Validation rows choose the loss and the number of trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOSSES = ("squared_error", "absolute_error")
TREES = 100
LEARNING_RATE = 0.1
BINS = 63  # embeddings have no rare values that finer bins would separate, and fewer bins are faster


@dataclass(frozen=True)
class Boosting:
    """Trained gradient boosting of decision trees.

    Attributes:
        model: fitted `HistGradientBoostingRegressor` of scikit-learn.
        loss: loss that the trees reduce, one of `LOSSES`.
        trees: number of trees that predictions use.
    """

    model: Any
    loss: str
    trees: int

    def predict(self, x: NDArray[np.floating]) -> Floats:
        """Returns predicted labels, float64 [n], for features [n, d]."""
        return next(predicted for tree, predicted in enumerate(self.model.staged_predict(x), 1) if tree == self.trees)


def fit_boosting(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    x_val: NDArray[np.floating],
    y_val: NDArray[np.floating],
    losses: tuple[str, ...] = LOSSES,
    trees: int = TREES,
    clamp: tuple[float, float] | None = None,
) -> Boosting:
    """Fits gradient boosting (scikit-learn's `HistGradientBoostingRegressor`) with each loss, and returns the best.

    The loss and the number of trees are those with the lowest mean absolute error (MAE) on the validation rows. Without
    validation rows, the MAE on the training rows decides. The result does not depend on a random seed or on the number
    of threads.

    Args:
        x, y: features [n, d] and labels [n] of the training rows.
        x_val, y_val: features [m, d] and labels [m] of the validation rows.
        losses: losses to try: `squared_error`, `absolute_error` or both.
        trees: maximum number of trees.
        clamp: minimum and maximum to which predictions are clipped before the MAE is computed. None: no clipping.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    if not len(x_val):
        x_val, y_val = x, y
    best: tuple[float, Boosting] | None = None
    with threadpool_limits(1, "openmp"):
        for loss in losses:
            model = HistGradientBoostingRegressor(
                loss=loss,
                max_iter=trees,
                learning_rate=LEARNING_RATE,
                max_bins=BINS,
                early_stopping=False,
                random_state=0,
            ).fit(x, y)
            for tree, predicted in enumerate(model.staged_predict(x_val), 1):
                clipped = predicted if clamp is None else predicted.clip(*clamp)
                error = float(np.abs(clipped - y_val).mean())
                if best is None or error < best[0]:
                    best = error, Boosting(model, loss, tree)
    assert best is not None
    return best[1]
