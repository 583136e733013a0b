"""Heads on frozen vectors: Dummy, linear and MLP, fitted on some rows, asked for others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.metrics.mlp import fit_mlp
from geojepa_cli.metrics.ridge import fit_ridge

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

HEADS = ("linear", "mlp")


@dataclass(frozen=True)
class Fold:
    """Rows to fit, to choose settings and to test on; no group is in two of them."""

    train: Rows
    val: Rows
    test: Rows


def predict_dummy(y: Floats, fold: Fold) -> Floats:
    """The median of the training labels, for every test row."""
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
    """Predictions of a head for the test rows, clamped.

    The linear head fits train and val, and chooses its penalty by cross-validation over their groups; the MLP fits
    train and stops early on val.
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
