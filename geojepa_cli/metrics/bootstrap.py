"""Confidence intervals by percentile bootstrap over groups of tiles.

A group is all tiles inside one zoom-14 tile. Such tiles are similar, so the bootstrap draws whole groups, not tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value with its bootstrap confidence interval.

    Attributes:
        value: value computed from all data.
        low, high: lower and upper end of the interval.
        groups: number of groups (zoom-14 tiles) in the data.
        level: confidence level of the interval, such as 0.95.
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
    """Returns the mean of `values` and its confidence interval.

    Each bootstrap sample draws groups of values (all values in a zoom-14 tile) with replacement. Each value in a sample
    has the same weight, so large groups have more influence than small groups.

    Args:
        values: values to average [n].
        groups: group that each value belongs to [n].
        level: confidence level of the interval.
        draws: number of bootstrap samples.
        seed: random seed of the samples.

    Raises:
        ValueError: `values` is empty, or the shapes of `values` and `groups` differ.
    """
    sums, counts = _sums_by_group(values, groups)
    weights = draw_groups(len(counts), draws, seed)
    means = (weights @ sums) / (weights @ counts)
    low, high = percentiles(means, level)
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
    """Returns the relative difference between the errors of models a and b, with its confidence interval.

    The difference is negative if model a has the smaller errors.

    For each task, the difference of the two models' mean absolute errors is divided by the mean absolute error of
    Dummy, which always predicts the median of the training labels. The result is the mean of these ratios over tasks.

    The bootstrap is paired: one sample of groups is used for model a, model b, Dummy and all tasks. So groups that are
    hard to predict affect both models equally. A task is ignored in samples in which Dummy makes no error on it.

    Args:
        errors_a, errors_b, errors_dummy: for each task, the absolute error on each tile [n_task]. If a model was
            trained with several seeds, pass the mean of the errors over the seeds.
        groups: for each task, the group of each tile [n_task]. Equal values mean the same group in all tasks.
        level: confidence level of the interval.
        draws: number of bootstrap samples.
        seed: random seed of the samples.

    Raises:
        ValueError: there are no tasks or no tiles, or Dummy makes no error in any task.
    """
    three = [np.stack(one) for one in zip(errors_a, errors_b, errors_dummy, strict=True)]
    sums, names = _sums_of_tasks(three, groups)
    value = _relative_difference(sums, np.ones((1, len(names))))[0]
    drawn = _relative_difference(sums, draw_groups(len(names), draws, seed))
    return _difference_interval(value, drawn, len(names), level)


def bootstrap_difference_of_runs(
    errors_a: Sequence[NDArray[np.floating]],
    errors_b: Sequence[NDArray[np.floating]],
    errors_dummy: Sequence[NDArray[np.floating]],
    groups: Sequence[NDArray[np.generic]],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns the relative difference between two ways of training, each of which was run with several seeds.

    This is `bootstrap_relative_difference` of the errors that are averaged over runs, but each bootstrap sample also
    draws runs with replacement, for a and b separately. So the interval includes the spread over training seeds. The
    errors of one run are never resampled: a model without training has no spread. Intervals from few runs are too
    narrow: those of n runs have (n − 1) / n of the variance.

    Args:
        errors_a, errors_b: for each task, the absolute error of each run on each tile [runs, n_task]. All tasks have
            the same runs. The numbers of runs of a and b can differ.
        errors_dummy, groups, level, draws, seed: described in `bootstrap_relative_difference`.

    Raises:
        ValueError: there are no tasks or no tiles, or Dummy makes no error in any task.
    """
    runs = [np.concatenate([a, b, dummy[None]]) for a, b, dummy in zip(errors_a, errors_b, errors_dummy, strict=True)]
    sums, names = _sums_of_tasks(runs, groups)
    a, b, dummy = np.split(sums, [len(errors_a[0]), sums.shape[1] - 1], axis=1)
    difference = a.sum(axis=2).mean(axis=1) - b.sum(axis=2).mean(axis=1)
    value = _mean_of_ratios(difference[None], dummy[:, 0].sum(axis=1)[None])[0]
    weights = draw_groups(len(names), draws, seed)
    rng = np.random.default_rng([seed, 1])
    mean_a, mean_b = (_drawn_runs(one, weights, rng) for one in (a, b))
    drawn = _mean_of_ratios(mean_a - mean_b, weights @ dummy[:, 0].T)
    return _difference_interval(value, drawn, len(names), level)


def _sums_of_tasks(
    errors: Sequence[NDArray[np.floating]], groups: Sequence[NDArray[np.generic]]
) -> tuple[Floats, NDArray[np.generic]]:
    """Adds up errors in each group.

    Args:
        errors: for each task, several errors of each tile [k, n_task].
        groups: for each task, the group of each tile [n_task].

    Returns:
        The sums, float64 [task, k, group], and the names of the groups.
    """
    names = np.unique(np.concatenate([np.asarray(group) for group in groups]))
    places = [np.searchsorted(names, group) for group in groups]
    sums = [
        [np.bincount(place, np.asarray(row, np.float64), len(names)) for row in rows]
        for place, rows in zip(places, errors, strict=True)
    ]
    return np.array(sums), names


def _difference_interval(value: float, drawn: Floats, groups: int, level: float) -> Interval:
    """Returns the interval of a difference from its value in bootstrap samples; those without a value are NaN.

    Raises:
        ValueError: the value is NaN, because Dummy makes no error in any task.
    """
    if np.isnan(value):
        raise ValueError("Dummy makes no error in any task: there is nothing to compare")
    low, high = percentiles(drawn[~np.isnan(drawn)], level)
    return Interval(float(value), low, high, groups, level)


def _drawn_runs(sums: Floats, weights: Floats, rng: np.random.Generator) -> Floats:
    """Returns the summed errors of bootstrap samples of groups and runs, averaged over runs, [draws, task].

    Args:
        sums: sums of absolute errors, [task, runs, group].
        weights: number of times that each group was drawn for each sample, [draws, group].
        rng: generator that draws the runs.
    """
    runs = sums.shape[1]
    times = rng.multinomial(runs, np.full(runs, 1.0 / runs), size=len(weights))
    found: Floats = np.einsum("trd,dr->dt", sums @ weights.T, times) / runs
    return found


def _relative_difference(sums: Floats, weights: Floats) -> Floats:
    """Returns the relative difference between models a and b in each bootstrap sample, [draws].

    The difference is computed from sums of errors instead of mean errors. All sums are over the same tiles, so
    ratios of sums equal ratios of means. The result is NaN for a sample in which Dummy (the baseline that predicts the
    median) makes no error in any task.

    Args:
        sums: sums of absolute errors, [task, (a, b, dummy), group].
        weights: number of times that each group was drawn for each sample, [draws, group].
    """
    a, b, dummy = np.einsum("twg,dg->wdt", sums, weights).astype(np.float64)
    return _mean_of_ratios(a - b, dummy)


def _mean_of_ratios(difference: Floats, dummy: Floats) -> Floats:
    """Divides differences of errors by the errors of Dummy, and averages over tasks.

    Args:
        difference, dummy: sums of absolute errors, [draws, task].

    Returns:
        The means, [draws]; NaN for a sample in which Dummy makes no error in any task.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(dummy > 0, difference / dummy, np.nan)
    known = ~np.isnan(ratio)
    total = np.where(known, ratio, 0.0).sum(axis=1)
    mean: Floats = np.divide(total, known.sum(axis=1), out=np.full(len(total), np.nan), where=known.any(axis=1))
    return mean


def _sums_by_group(values: NDArray[np.floating], groups: NDArray[np.generic]) -> tuple[Floats, Floats]:
    if np.shape(values) != np.shape(groups) or not np.size(values):
        raise ValueError(
            f"expected two non-empty arrays of equal shape, got shapes {np.shape(values)} and {np.shape(groups)}"
        )
    _, inverse = np.unique(groups, return_inverse=True)
    sums: Floats = np.bincount(inverse, np.asarray(values, np.float64)).astype(np.float64)
    return sums, np.bincount(inverse).astype(np.float64)


def draw_groups(n_groups: int, draws: int, seed: int) -> Floats:
    """Draws bootstrap samples of groups of tiles. Returns how often each sample has each group, [draws, n_groups]."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=draws).astype(np.float64)


def percentiles(values: Floats, level: float) -> tuple[float, float]:
    """Returns the two ends of the interval that contains the share `level` of the values, with equal tails."""
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return float(low), float(high)
