"""Metrics of predictions on one task, and scores that combine a model's errors on several tasks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mae(predicted: NDArray[np.floating], true: NDArray[np.floating]) -> float:
    """Returns the mean absolute error between predicted values [n] and true values [n].

    Raises:
        ValueError: the arrays differ in shape or are empty.
    """
    _same_shape(predicted, true)
    return float(np.abs(np.asarray(predicted, np.float64) - np.asarray(true, np.float64)).mean())


def auroc(score: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Returns the area under the ROC curve (AUROC).

    AUROC is the probability that a random positive has a higher score than a random negative. Ties count half
    (Mann–Whitney U statistic).

    Args:
        score: score of each row [n].
        positive: True for rows of the positive class [n].

    Raises:
        ValueError: the shapes differ, or there is no positive or no negative row.
    """
    _same_shape(score, positive)
    positive = np.asarray(positive, bool)
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        raise ValueError("AUROC requires at least one positive and one negative row")
    rank_sum = _mean_ranks(score)[positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def average_precision(score: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Returns the average precision: the area under the precision-recall curve, as a sum of steps.

    Rows are sorted by score, highest first. For each distinct score, the precision of the rows with at least this score
    is weighted with the recall that these rows add. Rows with equal scores are added together. The expected value of
    random scores is the share of positive rows.

    Args:
        score: score of each row [n].
        positive: True for rows of the positive class [n].

    Raises:
        ValueError: the shapes differ, or there is no positive row.
    """
    _same_shape(score, positive)
    positive = np.asarray(positive, bool)
    if not positive.any():
        raise ValueError("average precision requires at least one positive row")
    names, inverse = np.unique(np.asarray(score, np.float64), return_inverse=True)
    rows = np.bincount(inverse, minlength=len(names))[::-1]
    found = np.bincount(inverse, positive, len(names))[::-1]
    precision = found.cumsum() / rows.cumsum()
    return float((precision * found).sum() / found.sum())


def r2(predicted: NDArray[np.floating], true: NDArray[np.floating]) -> float:
    """Returns the coefficient of determination R²: 1 − (sum of squared errors) / (sum of squares around the mean).

    A perfect prediction has 1, the mean of `true` has 0, and worse predictions have negative values.

    Raises:
        ValueError: the shapes differ, or all true values are equal.
    """
    _same_shape(predicted, true)
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if (true == true[0]).all():
        raise ValueError("R² requires at least two different true values")
    return float(1.0 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def spearman(predicted: NDArray[np.floating], true: NDArray[np.floating]) -> float:
    """Returns Spearman's rank correlation: the correlation of the ranks of two arrays. Ties share their mean rank.

    Raises:
        ValueError: the shapes differ, or all values of one array are equal.
    """
    _same_shape(predicted, true)
    a, b = (_mean_ranks(values) for values in (predicted, true))
    a, b = a - a.mean(), b - b.mean()
    if not a.any() or not b.any():
        raise ValueError("a rank correlation requires at least two different values in each array")
    return float((a @ b) / np.sqrt((a @ a) * (b @ b)))


def relative_to_dummy(mae_of_task: Mapping[str, float], dummy_of_task: Mapping[str, float]) -> float:
    """Returns a model's score over several tasks, relative to Dummy: 0 is perfect, 1 is as good as Dummy.

    Dummy always predicts the median of the training labels. For each task, the model's mean absolute error (MAE) is
    divided by Dummy's MAE. The score is the mean of these ratios. Unlike `harmonic_score`, it does not depend on the
    other models in a comparison. Tasks in which Dummy makes no error are left out.

    Args:
        mae_of_task: dict from task name to the model's MAE.
        dummy_of_task: dict from task name to Dummy's MAE.

    Raises:
        ValueError: Dummy makes no error in any task.
    """
    ratios = [mae_of_task[task] / dummy_of_task[task] for task in sorted(mae_of_task) if dummy_of_task[task] > 0]
    if not ratios:
        raise ValueError("Dummy makes no error in any task")
    return float(np.mean(ratios))


def harmonic_score(mae_of_task: Mapping[str, float], best_of_task: Mapping[str, float]) -> float:
    """Returns a model's score over several tasks, relative to the best model of each task.

    A score of 1 means that the model is the best on every task.

    For each task, the lowest mean absolute error (MAE) of all compared models is divided by this model's MAE. The score
    is the harmonic mean of these ratios (GeoJEPA thesis, section 6). A model that is best on a task has the ratio 1.
    Adding a model to the comparison can change the score, so reports print it together with `relative_to_dummy`.

    Args:
        mae_of_task: dict from task name to the model's MAE.
        best_of_task: dict from task name to the lowest MAE among all compared models.

    Raises:
        ValueError: there are no tasks.
    """
    if not mae_of_task:
        raise ValueError("no task")
    inverse = [_inverse_ratio(mae_of_task[task], best_of_task[task]) for task in sorted(mae_of_task)]
    return 0.0 if np.isinf(inverse).any() else float(len(inverse) / np.sum(inverse))


def _inverse_ratio(value: float, best: float) -> float:
    if value == best:
        return 1.0
    return value / best if best > 0 else float("inf")


def _mean_ranks(values: NDArray[np.floating]) -> Floats:
    """Returns the rank of each value, from 1. Equal values share their mean rank. float64 [n]"""
    _, inverse, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return ranks


def _same_shape(a: NDArray[np.generic], b: NDArray[np.generic]) -> None:
    if np.shape(a) != np.shape(b) or np.ndim(a) != 1 or not np.size(a):
        raise ValueError(f"expected two non-empty vectors of equal length, got shapes {np.shape(a)} and {np.shape(b)}")
