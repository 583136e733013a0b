"""Heads on frozen vectors: Dummy, linear and MLP. Each is fitted to training rows and predicts the test rows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.evaluate.folds import Floats, Fold
from geojepa_cli.metrics.mlp import fit_mlp
from geojepa_cli.metrics.ridge import fit_ridge

HEADS = ("linear", "mlp")


def predict_dummy(y: Floats, fold: Fold) -> Floats:
    """Returns the median of the training labels for every test row."""
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
    """Fits a head and returns its predictions for the test rows, clamped.

    The linear head is fitted to train and val rows; its penalty is chosen by cross-validation over their groups. The
    MLP is fitted to train rows, with early stopping on val rows.

    Args:
        head: `linear` or `mlp`.
        x: vectors, float32 [n, d].
        y: labels, float64 [n].
        groups: zoom-14 group of each row, int64 [n].
        fold: training, validation and test rows of `x`, `y` and `groups`.
        clamp: minimum and maximum of predictions.
        seed: seed of the inner folds and of the MLP.

    Raises:
        ValueError: unknown head.
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
