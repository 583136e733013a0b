"""Prediction heads on embeddings: linear models, an MLP, and gradient boosting. Also the baseline Dummy.

A head is fitted to training tiles and predicts the labels of test tiles. Dummy predicts the median of the training
labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.config.heads import HEADS
from geojepa_cli.evaluate.folds import Floats, Fold, Rows
from geojepa_cli.metrics.boosting import fit_boostings
from geojepa_cli.metrics.label_forms import (
    CLASS,
    PLAIN,
    LabelForm,
    Prediction,
    best_form,
    fitted_forms,
    forms_of,
    predict_labels,
)
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
) -> Prediction:
    """Fits a prediction head, and returns its predictions for the test tiles.

    All heads except `boosting` standardise the vectors: they use the mean and standard deviation of the tiles that they
    are fitted to. No head reads the labels of test tiles. All heads except `sgd` try several forms of the labels (see
    `label_forms`) and use the one with the lowest mean absolute error, in the cross-validation or on validation tiles.

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
    return _predict(head, x, y[:, None], groups, fold, (clamp,), (_forms(head, y, fold),), seed)[0]


def predict_two_parts(
    head: str,
    x: NDArray[np.float32],
    y: Floats,
    absent: float,
    groups: NDArray[np.int64],
    fold: Fold,
    clamp: Clamp,
    seed: int,
) -> tuple[Prediction, TwoParts]:
    """Fits a head once as `predict_head` does, and once in two parts.

    The absent value is the label of tiles that have nothing to measure, such as −100 for tiles without a road. The
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
    limits: tuple[Clamp, ...] = (clamp, (0.0, 1.0))
    plain, presence = _predict(head, x, both, groups, fold, limits, (_forms(head, y, fold), (PLAIN, CLASS)), seed)
    measured = Fold(_where(fold.train, present), _where(fold.val, present), fold.test, fold.number)
    if not len(measured.train):
        measured = Fold(measured.val, measured.train, fold.test, fold.number)
    if len(measured.train):
        clamp = max(clamp[0], float(y[measured.train].min())), clamp[1]
        value = predict_head(head, x, y, groups, measured, clamp, seed).labels
    else:
        value = np.full(len(fold.test), absent)
    probability = presence.scores
    return plain, TwoParts(probability, value, np.where(probability >= 0.5, value, absent))


def _forms(head: str, y: Floats, fold: Fold) -> tuple[LabelForm, ...]:
    """Returns the forms in which a head may predict the labels y [n]. Labels of test tiles are not read."""
    return (PLAIN,) if head == "sgd" else forms_of(y[np.concatenate([fold.train, fold.val])])


def _where(rows: Rows, present: Floats) -> Rows:
    return rows[present[rows] > 0]


def _predict(
    head: str,
    x: NDArray[np.float32],
    ys: Floats,
    groups: NDArray[np.int64],
    fold: Fold,
    clamps: tuple[Clamp, ...],
    forms: tuple[tuple[LabelForm, ...], ...],
    seed: int,
) -> list[Prediction]:
    """Fits a head to each of the t columns of labels `ys`, float64 [n, t], in the best of the forms in `forms`.

    Returns:
        For each column, the predictions for the m test tiles, limited to the range in `clamps`. [t]
    """
    test = x[fold.test]
    if head == "linear":
        rows = np.concatenate([fold.train, fold.val])
        ridges = fit_ridges(x[rows], ys[rows], groups[rows], clamps=clamps, forms=forms)
        found = [(ridge.form, ridge.predict_in_form(test)) for ridge in ridges]
    elif head in ("sgd", "mlp"):
        columns = zip(ys.T, clamps, forms, strict=True)
        found = [_train_network(head, x, y, fold, clamp, of, seed) for y, clamp, of in columns]
    elif head == "boosting":
        known = x[fold.train], ys[fold.train], x[fold.val], ys[fold.val]
        found = [
            (trees.form, trees.predict_in_form(test)) for trees in fit_boostings(*known, clamps=clamps, forms=forms)
        ]
    else:
        raise ValueError(f"head must be one of {HEADS}, got `{head}`")
    return [predict_labels(form, values, clamp) for (form, values), clamp in zip(found, clamps, strict=True)]


def _train_network(
    head: str, x: NDArray[np.float32], y: Floats, fold: Fold, clamp: Clamp, forms: Sequence[LabelForm], seed: int
) -> tuple[LabelForm, Floats]:
    """Trains the head `sgd` or `mlp` on the labels y [n] in each of several forms.

    Returns the form with the lowest mean absolute error on validation tiles or, without any, on training tiles, and the
    predictions for the test tiles in this form, [m].
    """
    chosen_on = fold.val if len(fold.val) else fold.train
    features = torch.from_numpy(np.ascontiguousarray(x))
    train, val, known, test = (
        features[torch.from_numpy(rows)] for rows in (fold.train, fold.val, chosen_on, fold.test)
    )
    settings = SGD if head == "sgd" else MLP
    best: tuple[float, LabelForm, Floats] | None = None
    for fitted, read in fitted_forms(forms):
        labels = torch.from_numpy(fitted.apply(y))
        low, high = fitted.apply(np.array(clamp, np.float64)).tolist()
        network = fit_mlp(train, labels[fold.train], val, labels[fold.val], **settings, seed=seed, clamp=(low, high))
        predicted, of_test = (network.predict(rows).double().numpy() for rows in (known, test))
        error, form = best_form(read, predicted, y[chosen_on], clamp)
        if best is None or error < best[0]:
            best = error, form, of_test
    assert best is not None
    return best[1:]
