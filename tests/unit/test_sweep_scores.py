"""Scores of a sweep: spread over training seeds, and claims about trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from geojepa_cli.evaluate.comparison import TaskErrors
from geojepa_cli.evaluate.sweep_scores import TrialScores, rank_trials
from geojepa_cli.metrics.bootstrap import bootstrap_difference_of_runs, bootstrap_relative_difference

GROUPS = np.repeat([f"g{i:02}" for i in range(40)], 5)


def trial(name: str, means: list[float], baseline: bool = False) -> TrialScores:
    """A trial with one mean error for each seed. The tiles differ little, and are equally hard for all trials."""
    tiles = np.random.default_rng(0).uniform(0.9, 1.1, len(GROUPS))
    tiles /= tiles.mean()
    errors = [{"t": TaskErrors("x", GROUPS, 2 * tiles, {"linear": mean * tiles})} for mean in means]
    return TrialScores(name, errors=errors, protocols=["transfer"], baseline=baseline)


def rows_of(*trials: TrialScores) -> dict[str, dict[str, Any]]:
    return {row["trial"]: row for row in rank_trials(trials, trials[0].name, "linear")}


def test_a_difference_within_the_spread_over_seeds_is_not_called_better() -> None:
    rows = rows_of(trial("a", [1.00, 1.02, 0.98]), trial("b", [1.001, 1.019, 0.979]))
    assert rows["b"]["difference"]["value"] == pytest.approx(-0.00017, abs=1e-5)
    assert rows["b"]["difference"]["low"] < 0 < rows["b"]["difference"]["high"]
    assert rows["b"]["verdict"] == "no difference shown" and not rows["b"]["best"]


def test_a_difference_above_the_spread_over_seeds_is_called_better() -> None:
    rows = rows_of(trial("a", [1.00, 1.02, 0.98]), trial("b", [0.80, 0.82, 0.78]))
    assert rows["b"]["verdict"] == "better" and rows["b"]["best"] and rows["b"]["rank"] == 1
    assert rows["a"]["verdict"] == "reference" and set(rows["a"]["difference"].values()) == {0.0}


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_fewer_than_three_seeds_nothing_is_claimed(seeds: int) -> None:
    rows = rows_of(trial("a", [1.0] * seeds), trial("b", [0.5] * seeds), trial("tagpool-counts", [2.0], baseline=True))
    assert not any(row["best"] for row in rows.values())
    assert rows["b"]["verdict"] == rows["tagpool-counts"]["verdict"] == "no claim: fewer than 3 seeds"


def test_a_baseline_needs_one_run_because_it_is_not_trained() -> None:
    rows = rows_of(trial("a", [1.0, 1.01, 0.99]), trial("tagpool-counts", [2.0], baseline=True))
    assert rows["tagpool-counts"]["verdict"] == "worse"


def test_the_interval_is_that_of_a_loop_that_draws_groups_and_runs() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 6, 25)
    groups = np.repeat(np.arange(25), sizes)
    n = len(groups)
    a, b = rng.exponential(1.0, (2, 4, n)) + rng.normal(2, 0.3, (2, 4, 1))
    dummy = rng.exponential(3.0, n)
    found = bootstrap_difference_of_runs([a], [b[:3]], [dummy], [groups], draws=4000)
    assert found.value == pytest.approx((a.mean() - b[:3].mean()) / dummy.mean())
    drawn = []
    for _ in range(4000):
        tiles = np.concatenate([np.flatnonzero(groups == group) for group in rng.integers(0, 25, 25)])
        one, other = a[rng.integers(0, 4, 4)], b[rng.integers(0, 3, 3)]
        drawn.append((one[:, tiles].mean() - other[:, tiles].mean()) / dummy[tiles].mean())
    low, high = np.percentile(drawn, [2.5, 97.5])
    width = high - low
    assert found.low == pytest.approx(low, abs=0.06 * width) and found.high == pytest.approx(high, abs=0.06 * width)
    assert found.groups == 25


def test_single_runs_have_the_interval_over_groups() -> None:
    rng = np.random.default_rng(2)
    tasks = [rng.exponential(1.0, (3, len(GROUPS))) for _ in range(2)]
    a, b, dummy = ([task[i] for task in tasks] for i in range(3))
    expected = bootstrap_relative_difference(a, b, dummy, [GROUPS, GROUPS])
    found = bootstrap_difference_of_runs([one[None] for one in a], [one[None] for one in b], dummy, [GROUPS, GROUPS])
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
