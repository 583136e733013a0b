"""Prediction heads on embeddings: a linear model and an MLP. Also the baseline Dummy, which predicts the median.

A head is fitted to training tiles and predicts the labels of test tiles.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.evaluate.folds import Floats, Fold
from geojepa_cli.metrics.mlp import fit_mlp
from geojepa_cli.metrics.ridge import fit_ridge

HEADS = ("linear", "mlp")


def predict_dummy(y: Floats, fold: Fold) -> Floats:
    """Returns the predictions of the baseline Dummy: the median of the training labels, for every test tile."""
    return np.full(len(fold.test), float(np.median(y[fold.train])))


def predict_head(
    head: str,
    x: NDArray[np.float32],
    y: Floats,
    groups: NDArray[np.int64],
    fold: Fold,
    clamp: tuple[float, float],
    seed: int,
) -> Floats:
    """Fits a prediction head, and returns its predictions for the test tiles.

    The linear head is fitted to training and validation tiles. Its ridge penalty is chosen by cross-validation over the
    zoom-14 tiles (groups) that contain these tiles. The MLP is fitted to training tiles, with early stopping on
    validation tiles.

    Args:
        head: `linear` or `mlp`.
        x: vectors of all tiles, float32 [n, d].
        y: labels of all tiles, float64 [n].
        groups: number of the zoom-14 tile (group) that contains each tile, int64 [n].
        fold: indexes of the training, validation and test tiles in `x`, `y` and `groups`.
        clamp: minimum and maximum to which predictions are limited (clipped).
        seed: seed of the cross-validation for the penalty, and of the MLP.

    Raises:
        ValueError: `head` is neither `linear` nor `mlp`.
    """
    if head == "linear":
        rows = np.concatenate([fold.train, fold.val])
        model = fit_ridge(x[rows], y[rows], groups[rows], seed=seed, clamp=clamp)
        predicted = model.predict(x[fold.test])
    elif head == "mlp":
        features, labels = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y)
        train, val = torch.from_numpy(fold.train), torch.from_numpy(fold.val)
        network = fit_mlp(features[train], labels[train], features[val], labels[val], seed=seed, clamp=clamp)
        predicted = network.predict(features[torch.from_numpy(fold.test)]).double().numpy()
    else:
        raise ValueError(f"head must be one of {HEADS}, got `{head}`")
    return np.asarray(predicted.clip(*clamp), np.float64)
