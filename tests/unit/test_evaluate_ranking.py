"""The best row of a column: bold only where the paired interval excludes the next best row."""

from __future__ import annotations

import random
from statistics import harmonic_mean, mean

import numpy as np
import pytest
from probe_reports import errors_of, probe_report

from geojepa_cli.evaluate.comparison import TaskErrors
from geojepa_cli.evaluate.ranking import find_best, is_ranked
from geojepa_cli.evaluate.report import build_tables

RANDOM = "vit_b_16-random (random image encoder)"


def _slow_interval(errors: TaskErrors, a: str, b: str, draws: int = 1000) -> tuple[float, float]:
    """The paired interval of (MAE of a − MAE of b) / MAE of Dummy, by drawing groups one by one."""
    by_group: dict[str, list[int]] = {}
    for place, group in enumerate(errors.groups.tolist()):
        by_group.setdefault(group, []).append(place)
    dice, found = random.Random(3), []
    for _ in range(draws):
        tiles = [tile for _ in by_group for tile in by_group[dice.choice(sorted(by_group))]]
        difference = mean(float(errors.models[a][i] - errors.models[b][i]) for i in tiles)
        found.append(difference / mean(float(errors.dummy[i]) for i in tiles))
    found.sort()
    return found[int(0.025 * draws)], found[int(0.975 * draws) - 1]


@pytest.mark.parametrize(("gap", "bold"), [(0.0, False), (0.3, True), (0.6, True)])
def test_a_value_is_bold_where_a_slow_paired_bootstrap_excludes_the_next_row(gap: float, bold: bool) -> None:
    report = probe_report("x", {"dummy": 4.0, "m": 2.0, "n": 2.0 + gap, "o": 3.5})
    errors = errors_of(report, 30, seed=5, noise=1.0)
    values = {row: float(found.mean()) for row, found in errors.models.items()}
    best = find_best(values, {"x": [errors]}, False)
    first, second = sorted(values, key=lambda row: values[row])[:2]
    assert best is not None and (best.row, best.next) == (first, second)
    assert best.comparison is not None
    low, high = _slow_interval(errors, first, second)
    assert best.comparison.difference.low == pytest.approx(low, abs=0.02)
    assert best.comparison.difference.high == pytest.approx(high, abs=0.02)
    assert best.proven == (high < 0) == bold


def test_few_groups_a_random_split_or_other_tiles_are_never_bold() -> None:
    report = probe_report("x", {"dummy": 4.0, "m": 1.0, "n": 3.0})
    values = {"m (linear)": 1.0, "n (linear)": 3.0}

    def proven(errors: list[TaskErrors], random_split: bool = False) -> bool:
        best = find_best(values, {"x": errors}, random_split)
        assert best is not None and best.row == "m (linear)"
        return best.proven

    known = errors_of(report, 20)
    assert proven([known])
    assert not proven([errors_of(report, 19)])
    assert not proven([known], random_split=True)
    other = TaskErrors("other tiles", known.groups, known.dummy, {"n (linear)": known.models["n (linear)"]})
    assert not proven([known, other])
    assert not proven([])


def test_a_model_that_is_worse_than_dummy_is_not_the_best() -> None:
    report = probe_report("x", {"dummy": 4.0, "m": 5.0})
    best = build_tables([report], [errors_of(report)])[0].best["x"]
    assert (best.row, best.next, best.proven) == ("dummy (median)", "m (linear)", True)


def test_random_image_encoders_stand_outside_the_ranking() -> None:
    assert is_ranked("vit_b_16 (linear)") and is_ranked("tiny (first weights) (linear)")
    report = probe_report("x", {"dummy": 4.0, RANDOM: 1.0, "m": 2.0, "n": 3.0})
    table = build_tables([report], [errors_of(report)])[0]
    assert table.best["x"].row == "m (linear)" and table.best["x"].proven
    assert table.best_score is not None and table.best_score.row == "m (linear)"
    assert table.harmonic("m (linear)") == 1.0
    ranked = {model["model"]: model["ranked"] for model in table.to_json()["models"]}
    assert ranked == {"m (linear)": True, "n (linear)": True, "dummy (median)": True, f"{RANDOM} (linear)": False}


def test_the_harmonic_score_is_the_harmonic_mean_of_best_by_own_error() -> None:
    rng = np.random.default_rng(1)
    names = ["dummy", "a", "b", "c"]
    maes = {task: dict(zip(names, rng.uniform(0.5, 9, 4).tolist(), strict=True)) for task in "xyz"}
    table = build_tables([probe_report(task, by_model) for task, by_model in maes.items()])[0]
    for name in names:
        ratios = [min(by_model.values()) / by_model[name] for by_model in maes.values()]
        row = f"{name} ({'median' if name == 'dummy' else 'linear'})"
        assert table.harmonic(row) == pytest.approx(harmonic_mean(ratios))
        assert table.score(row) == pytest.approx(mean(m[name] / m["dummy"] for m in maes.values()))
