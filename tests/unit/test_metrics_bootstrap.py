"""Intervals over groups: coverage, pairing, and their centre."""

from __future__ import annotations

import numpy as np
import pytest

from geojepa_cli.metrics.bootstrap import bootstrap_mean, bootstrap_relative_difference


def test_the_interval_covers_the_true_mean_at_about_its_level() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        groups = np.repeat(np.arange(40), 5)
        values = 3.0 + rng.normal(size=40)[groups] + 0.3 * rng.normal(size=200)
        interval = bootstrap_mean(values, groups, draws=400, seed=trial)
        covered += interval.low <= 3.0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.985


def test_drawing_rows_instead_of_groups_gives_too_narrow_an_interval() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(25), 20)
    values = rng.normal(size=25)[groups] + 0.1 * rng.normal(size=500)
    by_group = bootstrap_mean(values, groups)
    by_row = bootstrap_mean(values, np.arange(500))
    assert by_group.high - by_group.low > 3 * (by_row.high - by_row.low)
    assert by_group.groups == 25


def test_the_value_is_the_plain_mean_of_rows() -> None:
    values = np.array([1.0, 2.0, 30.0])
    interval = bootstrap_mean(values, np.array(["a", "a", "b"]))
    assert interval.value == pytest.approx(11.0)
    assert interval.low == pytest.approx(1.5)
    assert interval.high == pytest.approx(30.0)


def test_the_difference_is_the_mean_over_tasks_of_relative_maes() -> None:
    a, b, dummy = [np.array([1.0, 3.0]), np.array([2.0])], [np.array([2.0, 4.0]), np.array([1.0])], None
    dummy = [np.array([4.0, 4.0]), np.array([10.0])]
    groups = [np.array([0, 1]), np.array([1])]
    interval = bootstrap_relative_difference(a, b, dummy, groups)
    assert interval.value == pytest.approx(((2.0 - 3.0) / 4.0 + (2.0 - 1.0) / 10.0) / 2)


def test_pairing_finds_a_small_difference_under_a_large_spread() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), 4)
    hard = rng.exponential(10, 30)[groups]
    worse = hard + rng.uniform(0, 1, 120)
    better = worse * 0.97
    paired = bootstrap_relative_difference([better], [worse], [2 * hard], [groups])
    alone_better, alone_worse = bootstrap_mean(better, groups), bootstrap_mean(worse, groups)
    assert paired.high < 0
    assert alone_better.high > alone_worse.low  # unpaired, the intervals overlap


def test_equal_models_differ_by_nothing() -> None:
    errors, groups = [np.arange(1.0, 9.0)], [np.arange(8)]
    interval = bootstrap_relative_difference(errors, errors, errors, groups)
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_a_task_in_which_dummy_never_errs_is_left_out_and_none_at_all_is_an_error() -> None:
    one, zero, groups = np.ones(4), np.zeros(4), np.arange(4)
    interval = bootstrap_relative_difference([one, one], [2 * one, 9 * one], [one, zero], [groups, groups])
    assert interval.value == pytest.approx(-1.0)
    with pytest.raises(ValueError, match="Dummy makes no error in any task"):
        bootstrap_relative_difference([one], [one], [zero], [groups])


def test_the_same_seed_gives_the_same_interval() -> None:
    values, groups = np.random.default_rng(3).normal(size=60), np.arange(60) // 3
    assert bootstrap_mean(values, groups, seed=7) == bootstrap_mean(values, groups, seed=7)
