"""Errors of predictions, and scores of a model over several tasks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mae(predicted: NDArray[np.floating], true: NDArray[np.floating]) -> float:
    """Returns the mean absolute error; both [n].

    Raises:
        ValueError: the shapes differ, or n is 0.
    """
    _same_shape(predicted, true)
    return float(np.abs(np.asarray(predicted, np.float64) - np.asarray(true, np.float64)).mean())


def auroc(score: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Returns the area under the ROC curve; both [n].

    It is the probability that a random positive scores above a random negative, where ties count half (Mann–Whitney).

    Raises:
        ValueError: the shapes differ, or one of the classes is empty.
    """
    _same_shape(score, positive)
    positive = np.asarray(positive, bool)
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        raise ValueError("auroc needs at least one positive and one negative")
    _, inverse, counts = np.unique(np.asarray(score, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank = last - (counts - 1) / 2.0  # ranks from 1; tied values share their mean rank
    rank_sum = mean_rank[inverse][positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def relative_to_dummy(mae_of_task: Mapping[str, float], dummy_of_task: Mapping[str, float]) -> float:
    """Returns the mean over tasks of MAE / Dummy's MAE: 1 is no better than the train median, 0 is perfect.

    Unlike the thesis's harmonic mean, it has a fixed reference. A task in which Dummy makes no error (all labels are
    equal) is left out.

    Raises:
        ValueError: no task is left.
    """
    ratios = [mae_of_task[task] / dummy_of_task[task] for task in sorted(mae_of_task) if dummy_of_task[task] > 0]
    if not ratios:
        raise ValueError("Dummy makes no error in any task")
    return float(np.mean(ratios))


def harmonic_score(mae_of_task: Mapping[str, float], best_of_task: Mapping[str, float]) -> float:
    """Returns the harmonic mean over tasks of (best MAE / its MAE): 1 is best at everything (thesis, section 6).

    It depends on the models in the table, so it is only shown together with `relative_to_dummy`. A model without error
    on a task has the ratio 1 there.

    Raises:
        ValueError: no task.
    """
    if not mae_of_task:
        raise ValueError("no task")
    inverse = [_inverse_ratio(mae_of_task[task], best_of_task[task]) for task in sorted(mae_of_task)]
    return 0.0 if np.isinf(inverse).any() else float(len(inverse) / np.sum(inverse))


def _inverse_ratio(value: float, best: float) -> float:
    if value == best:
        return 1.0
    return value / best if best > 0 else float("inf")


def _same_shape(a: NDArray[np.generic], b: NDArray[np.generic]) -> None:
    if np.shape(a) != np.shape(b) or np.ndim(a) != 1 or not np.size(a):
        raise ValueError(f"expected two equal, non-empty vectors, got shapes {np.shape(a)} and {np.shape(b)}")
