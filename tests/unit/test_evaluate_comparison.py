"""Paired comparison of models: which tiles are compared, and when a model is called better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geojepa_cli.evaluate.comparison import TaskErrors, compare, compare_all, task_errors
from geojepa_cli.evaluate.predictions import COLUMNS, read_predictions

HEADS = [("dummy", "median", 1), ("a", "linear", 1), ("b", "linear", 1), ("b", "mlp", 1)]


def _errors(n_groups: int, tiles: str = "t", seed: int = 0, **worse_by: float) -> TaskErrors:
    """Errors that depend on the group far more than on the model."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"14_{number}_7" for number in range(n_groups)], 5)
    hard = np.repeat(rng.exponential(10.0, n_groups), 5) + rng.random(len(groups))
    models = {f"{model} (linear)": hard + by + 0.01 * rng.random(len(groups)) for model, by in worse_by.items()}
    return TaskErrors(tiles, groups, 2 * hard, models)


def test_a_small_difference_of_paired_errors_is_shown() -> None:
    found = compare({"x": _errors(40, good=0.0, bad=0.3)}, "good (linear)", "bad (linear)")
    assert found.verdict == "a is better"
    assert found.difference.high < 0 and found.difference.groups == 40
    assert found.relative_a - found.relative_b == pytest.approx(found.difference.value)
    assert compare({"x": _errors(40, good=0.0, bad=0.3)}, "bad (linear)", "good (linear)").verdict == "b is better"


def test_equal_models_show_no_difference() -> None:
    errors = _errors(40, one=0.0)
    same = TaskErrors(
        "t", errors.groups, errors.dummy, {"a": errors.models["one (linear)"], "b": errors.models["one (linear)"]}
    )
    assert compare({"x": same}, "a", "b").verdict == "no difference shown"


def test_below_20_groups_and_for_random_splits_nothing_is_claimed() -> None:
    for groups, verdict in ((19, "no claim: fewer than 20 groups"), (20, "a is better")):
        assert compare({"x": _errors(groups, a=0.0, b=5.0)}, "a (linear)", "b (linear)").verdict == verdict
    random = compare({"x": _errors(40, a=0.0, b=5.0)}, "a (linear)", "b (linear)", random=True)
    assert random.verdict == "no claim: random split"


def test_groups_of_several_tasks_are_drawn_together() -> None:
    tasks = {name: _errors(30, seed=seed, a=0.0, b=0.5) for seed, name in enumerate(("x", "y"))}
    found = compare(tasks, "a (linear)", "b (linear)")
    assert found.difference.groups == 30
    ratios = [
        [errors.models[m].mean() / errors.dummy.mean() for errors in tasks.values()]
        for m in ("a (linear)", "b (linear)")
    ]
    assert found.relative_a == pytest.approx(np.mean(ratios[0]))
    assert found.difference.value == pytest.approx(np.mean(ratios[0]) - np.mean(ratios[1]))


def test_models_are_compared_on_the_tasks_that_both_have_with_the_same_tiles() -> None:
    tasks = {
        "x": [_errors(25, a=0.0, b=1.0)],
        "y": [_errors(25, a=0.0), _errors(25, tiles="other folds", b=1.0)],
        "z": [_errors(25, c=0.0)],
    }
    rows = ["a (linear)", "b (linear)", "c (linear)", "dummy (median)"]
    (found,) = compare_all(tasks, rows)
    assert (found.a, found.b, found.tasks) == ("a (linear)", "b (linear)", ("x",))


def test_a_newer_probe_replaces_an_older_one_of_the_same_model() -> None:
    old, new = _errors(25, a=0.0, b=1.0), _errors(25, a=0.0, b=-1.0)
    (found,) = compare_all({"x": [old, new]}, ["a (linear)", "b (linear)"])
    assert found.difference.value > 0


def test_errors_are_those_of_kept_tiles_and_models_with_other_heads_are_not_compared(tmp_path: Path) -> None:
    lines = [
        "16_1_1,r,14_0_0,test,1,0,3,1,2,3,4",
        "16_1_2,r,14_0_0,test,0,0,9,1,2,3,4",
        "16_1_3,r,14_0_1,train,1,1,5,1,2,3,4.5",
    ]
    errors = task_errors(read_predictions(_write(tmp_path, lines), HEADS))
    assert errors.dummy.tolist() == [2.0, 4.0]
    assert {row: values.tolist() for row, values in errors.models.items()} == {
        "dummy (median)": [2.0, 4.0],
        "a (linear)": [1.0, 3.0],
        "b (linear)": [0.0, 2.0],
        "b (mlp)": [1.0, 0.5],
    }
    assert errors.groups.tolist() == ["14_0_0", "14_0_1"]
    pairs = compare_all({"x": [errors]}, [*list(errors.models)[1:], "dummy (median)"])
    assert [(pair.a, pair.b) for pair in pairs] == [
        ("a (linear)", "b (linear)"),
        *((model, "dummy (median)") for model in ("a (linear)", "b (linear)", "b (mlp)")),
    ]
    with_dummy = {pair.a: pair for pair in pairs if pair.b == "dummy (median)"}
    assert with_dummy["a (linear)"].difference.value == pytest.approx(2 / 3 - 1)


def test_a_supervised_model_is_compared_with_every_head() -> None:
    hard = _errors(25, a=0.0)
    names = ["a (linear)", "a (linear two-part)", "a (mlp)", "t (supervised)", "u (supervised)"]
    errors = TaskErrors("t", hard.groups, hard.dummy, dict.fromkeys(names, hard.models["a (linear)"] + 1))
    pairs = [(pair.a, pair.b) for pair in compare_all({"x": [errors]}, names)]
    assert pairs == [*((name, other) for name in names[:3] for other in names[3:]), tuple(names[3:])]


@pytest.mark.parametrize(
    "change", [("0,3,1", "1,3,1"), ("16_1_1,r", "16_1_1,s"), ("0,3,1", "0,4,1"), ("16_1_1,", "16_9_9,")]
)
def test_other_tiles_folds_and_labels_are_not_the_same_tiles(tmp_path: Path, change: tuple[str, str]) -> None:
    line = "16_1_1,r,14_0_0,test,1,0,3,1,2,3,4"
    one, other, same = (
        task_errors(read_predictions(_write(tmp_path, [text]), HEADS)).tiles
        for text in (line, line.replace(*change), line.replace(",2,3,4", ",7,8,9"))
    )
    assert one == same != other


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["16_1_1,r,14_0_0,test,1,0,3,1,2,3"],
        ["16_1_1,r,14_0_0,test,1,0,3,1,2,3,nan"],
        ["16_1_1,r,14_0_0,test,1,0,3,1,2,3,x"],
        ["16_1_1,r,14_0_0,test,1,0,3,1,2,3,1e999"],
        ['16_1_1,r,"14_0_0'],
    ],
)
def test_damaged_predictions_are_refused(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(ValueError):
        read_predictions(_write(tmp_path, lines), HEADS)


def test_predictions_with_other_columns_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, ["16_1_1,r,14_0_0,test,1,0,3,1,2,3,4"])
    with pytest.raises(ValueError, match="columns"):
        read_predictions(path, HEADS[:3])
    path.write_text("")
    with pytest.raises(ValueError):
        read_predictions(path, HEADS)


def _write(folder: Path, lines: list[str]) -> Path:
    path = folder / "predictions.csv"
    header = ",".join([*COLUMNS, *(f"{model}_{head}" for model, head, _ in HEADS)])
    path.write_text("\n".join([header, *lines]) + "\n")
    return path
