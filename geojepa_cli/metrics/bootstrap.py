"""Percentile bootstrap over groups. Tiles of one zoom-14 block are similar, so the bootstrap draws whole blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value with its bootstrap interval.

    Attributes:
        value: value on all groups.
        low, high: lower and upper end of the interval.
        groups: number of groups from which value and interval are computed.
        level: confidence level of the interval.
    """

    value: float
    low: float
    high: float
    groups: int
    level: float = 0.95


def bootstrap_mean(
    values: NDArray[np.floating],
    groups: NDArray[np.generic],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns the mean of values with its bootstrap interval. Groups are drawn with replacement.

    All rows of a sample have the same weight, so large groups have more influence, as in the mean itself.

    Args:
        values: values [n].
        groups: block of every value [n].
        level: confidence level of the interval.
        draws: number of bootstrap samples.
        seed: seed of the samples.

    Raises:
        ValueError: there are no values, or the shapes differ.
    """
    sums, counts = _sums_by_group(values, groups)
    weights = _draw(len(counts), draws, seed)
    means = (weights @ sums) / (weights @ counts)
    low, high = _percentiles(means, level)
    return Interval(float(sums.sum() / counts.sum()), low, high, len(counts), level)


def bootstrap_relative_difference(
    errors_a: Sequence[NDArray[np.floating]],
    errors_b: Sequence[NDArray[np.floating]],
    errors_dummy: Sequence[NDArray[np.floating]],
    groups: Sequence[NDArray[np.generic]],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns the mean over tasks of (MAE of a − MAE of b) / MAE of Dummy, with its interval; below 0 if a is better.

    The bootstrap is paired: each sample of groups is used for both models, Dummy and all tasks, so the difficulty of a
    place cancels out. If Dummy makes no error on a task in a sample, the task is left out of that sample.

    Args:
        errors_a, errors_b, errors_dummy: for each task, the absolute error of every row [n_task]; the mean over seeds
            if there are several.
        groups: for each task, the block of every row [n_task]; the same name means the same block in all tasks.
        level: confidence level of the interval.
        draws: number of bootstrap samples.
        seed: seed of the samples.

    Raises:
        ValueError: there are no tasks or no rows, or Dummy makes no error in any task.
    """
    names = np.unique(np.concatenate([np.asarray(g) for g in groups]))
    sums = np.zeros((len(groups), 3, len(names)))
    for task, group in enumerate(groups):
        place = np.searchsorted(names, group)
        for which, errors in enumerate((errors_a[task], errors_b[task], errors_dummy[task])):
            sums[task, which] = np.bincount(place, np.asarray(errors, np.float64), len(names))
    value = _relative_difference(sums, np.ones((1, len(names))))[0]
    if np.isnan(value):
        raise ValueError("Dummy makes no error in any task: there is nothing to compare")
    drawn = _relative_difference(sums, _draw(len(names), draws, seed))
    low, high = _percentiles(drawn[~np.isnan(drawn)], level)
    return Interval(float(value), low, high, len(names), level)


def _relative_difference(sums: Floats, weights: Floats) -> Floats:
    """Returns the mean relative difference of each sample, [draws]; NaN if Dummy makes no error in any task.

    Numbers of rows cancel out: a ratio of means over the same rows is a ratio of sums.

    Args:
        sums: sums of absolute errors, [task, (a, b, dummy), group].
        weights: how often each group is in each sample, [draws, group].
    """
    a, b, dummy = np.einsum("twg,dg->wdt", sums, weights).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(dummy > 0, (a - b) / dummy, np.nan)
    known = ~np.isnan(ratio)
    total = np.where(known, ratio, 0.0).sum(axis=1)
    mean: Floats = np.divide(total, known.sum(axis=1), out=np.full(len(weights), np.nan), where=known.any(axis=1))
    return mean


def _sums_by_group(values: NDArray[np.floating], groups: NDArray[np.generic]) -> tuple[Floats, Floats]:
    if np.shape(values) != np.shape(groups) or not np.size(values):
        raise ValueError(
            f"expected two non-empty arrays of equal shape, got shapes {np.shape(values)} and {np.shape(groups)}"
        )
    _, inverse = np.unique(groups, return_inverse=True)
    sums: Floats = np.bincount(inverse, np.asarray(values, np.float64)).astype(np.float64)
    return sums, np.bincount(inverse).astype(np.float64)


def _draw(n_groups: int, draws: int, seed: int) -> Floats:
    """Draws groups with replacement. Returns how often each group is in each sample, [draws, n_groups]."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=draws).astype(np.float64)


def _percentiles(values: Floats, level: float) -> tuple[float, float]:
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return float(low), float(high)
