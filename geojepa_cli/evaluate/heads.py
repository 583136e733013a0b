"""Prediction heads on embeddings: linear models, an MLP, and gradient boosting. Also the baseline Dummy.

A head is fitted to training tiles and predicts the labels of test tiles. Dummy predicts the median of the training
labels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.config.heads import HEADS
from geojepa_cli.evaluate.folds import Floats, Fold, Rows
from geojepa_cli.metrics.boosting import fit_boostings
from geojepa_cli.metrics.mlp import fit_mlp
from geojepa_cli.metrics.ridge import fit_ridges

MLP: dict[str, Any] = {"hidden": 256, "learning_rate": 2e-3}
SGD: dict[str, Any] = {"hidden": None, "learning_rate": 5e-3, "patience": 10}
Clamp = tuple[float, float]


class TwoParts(NamedTuple):
    """Predictions of a head that predicts in two parts, each float64 [m] for m test tiles.

    Attributes:
        presence: predicted probability that the label of a tile is not the absent value.
        value: predicted label on the assumption that it is not the absent value.
        combined: `value` where `presence` is at least one half, otherwise the absent value.
    """

    presence: Floats
    value: Floats
    combined: Floats


def predict_dummy(y: Floats, fold: Fold) -> Floats:
    """Returns the predictions of the baseline Dummy: the median of the training labels, for every test tile."""
    return np.full(len(fold.test), float(np.median(y[fold.train])))


def predict_head(
    head: str,
    x: NDArray[np.float32],
    y: Floats,
    groups: NDArray[np.int64],
    fold: Fold,
    clamp: Clamp,
    seed: int,
) -> Floats:
    """Fits a prediction head, and returns its predictions for the test tiles.

    All heads except `boosting` standardise the vectors: they use the mean and standard deviation of the tiles that they
    are fitted to. No head reads the labels of test tiles.

    - `linear`: ridge regression in closed form, fitted to training and validation tiles. The penalty is chosen by
      cross-validation over the zoom-14 tiles (groups) that contain these tiles. The result does not depend on `seed`.
    - `sgd`: linear model, trained by gradient descent on training tiles, with early stopping on validation tiles.
    - `mlp`: two-layer MLP, trained in the same way.
    - `boosting`: gradient boosting of decision trees, fitted to training tiles. Its loss and its number of trees are
      chosen on validation tiles.

    Args:
        head: one of `HEADS`.
        x: vectors of all tiles, float32 [n, d].
        y: labels of all tiles, float64 [n].
        groups: number of the zoom-14 tile (group) that contains each tile, int64 [n].
        fold: indexes of the training, validation and test tiles in `x`, `y` and `groups`.
        clamp: minimum and maximum to which predictions are limited (clipped).
        seed: seed of gradient descent.

    Raises:
        ValueError: the head is unknown.
    """
    return _predict(head, x, y[:, None], groups, fold, (clamp,), seed)[0]


def predict_two_parts(
    head: str,
    x: NDArray[np.float32],
    y: Floats,
    absent: float,
    groups: NDArray[np.int64],
    fold: Fold,
    clamp: Clamp,
    seed: int,
) -> tuple[Floats, TwoParts]:
    """Fits a head once as `predict_head` does, and once in two parts.

    The absent value is the label of tiles that have nothing to measure, such as −100 for a tile without a road. The
    first part predicts whether the label of a tile is another value than the absent value. The second part is fitted
    only to tiles with another label than the absent value, and predicts the label.

    Args:
        head, x, y, groups, fold, clamp, seed: same as the arguments of `predict_head`.
        absent: the absent value.

    Returns:
        The predictions of `predict_head`, and the predictions in two parts.
    """
    present = (y != absent).astype(np.float64)
    both = np.column_stack([y, present])
    plain, presence = _predict(head, x, both, groups, fold, (clamp, (0.0, 1.0)), seed)
    measured = Fold(_where(fold.train, present), _where(fold.val, present), fold.test, fold.number)
    if not len(measured.train):
        measured = Fold(measured.val, measured.train, fold.test, fold.number)
    if len(measured.train):
        limits = max(clamp[0], float(y[measured.train].min())), clamp[1]
        value = predict_head(head, x, y, groups, measured, limits, seed)
    else:
        value = np.full(len(fold.test), absent)
    return plain, TwoParts(presence, value, np.where(presence >= 0.5, value, absent))


def _where(rows: Rows, present: Floats) -> Rows:
    return rows[present[rows] > 0]


def _predict(
    head: str,
    x: NDArray[np.float32],
    ys: Floats,
    groups: NDArray[np.int64],
    fold: Fold,
    clamps: tuple[Clamp, ...],
    seed: int,
) -> list[Floats]:
    """Fits a head to each of the t columns of labels `ys`, float64 [n, t].

    Returns:
        For each column, the predictions for the m test tiles, limited to the range in `clamps`. [t][m]
    """
    columns = range(ys.shape[1])
    test = x[fold.test]
    if head == "linear":
        rows = np.concatenate([fold.train, fold.val])
        ridges = fit_ridges(x[rows], ys[rows], groups[rows], clamps=clamps)
        predicted = [ridge.predict(test) for ridge in ridges]
    elif head in ("sgd", "mlp"):
        features, labels = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(ys)
        train, val = torch.from_numpy(fold.train), torch.from_numpy(fold.val)
        known = features[train], features[val]
        settings = SGD if head == "sgd" else MLP
        networks = [
            fit_mlp(known[0], labels[train, t], known[1], labels[val, t], **settings, seed=seed, clamp=clamps[t])
            for t in columns
        ]
        predicted = [network.predict(torch.from_numpy(test)).double().numpy() for network in networks]
    elif head == "boosting":
        boosted = fit_boostings(x[fold.train], ys[fold.train], x[fold.val], ys[fold.val], clamps=clamps)
        predicted = [trees.predict(test) for trees in boosted]
    else:
        raise ValueError(f"head must be one of {HEADS}, got `{head}`")
    return [np.asarray(one.clip(*clamp), np.float64) for one, clamp in zip(predicted, clamps, strict=True)]
