"""Predictions for single tiles in a report."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from probe_reports import row_tiles

from geojepa_cli.evaluate.predictions import Predictions
from geojepa_cli.evaluate.report_tiles import MAX_POINTS, RowTiles, error_map


def test_tiles_of_a_row_are_those_with_a_prediction_that_thinning_kept() -> None:
    tested = np.array([[f"16_{x}_7", "a", "0", "1", "0"] for x in range(4)], np.str_)
    values = np.array([[1.0, 2.0, 3.0, np.nan], [3.0, 2.0, 5.0, 1.0]])
    kept = np.array([True, False, True, True])
    labels, predicted = np.array([2.0, 0.0, 1.0, 0.0]), {("m", "mlp"): values}
    found = Predictions(tested, np.array(["14_0_1"] * 4), kept, labels, predicted, predicted)
    tiles = RowTiles.of("m (mlp)", found, {"model": "m", "head": "mlp"})
    assert tiles.row == "m (mlp)" and tiles.names.tolist() == ["16_0_7", "16_2_7"]
    assert tiles.predicted.tolist() == [2.0, 4.0]
    assert tiles.errors.tolist() == [1.0, 3.0]  # the mean of errors, not the error of the mean


def test_of_wrong_classes_the_surest_are_the_worst() -> None:
    tested = np.array([[f"16_{x}_7", "a", "0", "1", "0"] for x in range(4)], np.str_)
    before = np.array([[0.4, 0.1, 0.9, 0.2]])
    labels, kept = np.array([1.0, 1.0, 1.0, 0.0]), np.ones(4, bool)
    key = ("m", "linear")
    found = Predictions(tested, np.array(["14_0_1"] * 4), kept, labels, {key: before.round()}, {key: before})
    tiles = RowTiles.of("m (linear)", found, {"model": "m", "head": "linear"})
    assert [(one["tile"], one["predicted"], one["error"]) for one in tiles.worst(3)] == [
        *(("16_1_7", 0.1, 1.0), ("16_0_7", 0.4, 1.0), ("16_3_7", 0.2, 0.0))
    ]
    assert [one["unrounded_error"] for one in tiles.worst(3)] == [0.9, 0.6, 0.2]
    assert tiles.predicted.tolist() == before[0].tolist()


def test_the_worst_tiles_are_those_with_the_largest_errors() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 9, 50).astype(float), rng.normal(4, 3, 50)
    worst = row_tiles("m (linear)", labels.tolist(), predicted.tolist()).worst(6)
    slow = sorted(
        ((abs(a - b), f"16_{18000 + i}_25950") for i, (a, b) in enumerate(zip(predicted, labels, strict=True))),
        key=lambda entry: (-entry[0], entry[1]),
    )
    assert [one["tile"] for one in worst] == [name for _, name in slow[:6]]
    assert [one["error"] for one in worst] == [float(f"{error:.6g}") for error, _ in slow[:6]]


def test_a_scatter_plot_shows_all_tiles_or_a_fixed_sample() -> None:
    few = row_tiles("m", [0.0] * 20, [1.0] * 20)
    assert few.sample().tolist() == list(range(20))
    many = row_tiles("m", [0.0] * 1000, [1.0] * 1000)
    drawn = many.sample()
    assert len(set(drawn.tolist())) == MAX_POINTS and drawn.tolist() == sorted(drawn.tolist())
    assert drawn.tolist() == many.sample().tolist()


def test_classes_of_an_error_map_have_about_the_same_size() -> None:
    errors = np.random.default_rng(2).exponential(1.0, 100)
    found = error_map(row_tiles("m", [0.0] * 100, errors.tolist()))
    entry = found.to_json()
    assert entry["squares"] == [20] * 5 and entry["square"] == "tile" and entry["tiles"] == 100
    ends = [entry["lowest"], *entry["bounds"], entry["highest"]]
    for number, (low, high) in enumerate(pairwise(ends)):
        inside = [error for error in errors if (low < error or number == 0) and error <= high + 1e-5]
        assert abs(len(inside) - 20) <= 1


def test_equal_errors_have_one_class() -> None:
    entry = error_map(row_tiles("m", [0.0] * 9, [2.0] * 9)).to_json()
    assert entry["bounds"] == [] and entry["squares"] == [9] and entry["lowest"] == entry["highest"] == 2.0


def test_many_tiles_are_shown_as_groups_with_their_mean_error() -> None:
    errors = [float(x) for x in range(16)]
    found = error_map(row_tiles("m", [0.0] * 16, errors), most=15)
    assert found.grouped and found.squares.tolist() == [[14, 4500 + x, 6487] for x in range(4)]
    assert found.errors.tolist() == [1.5, 5.5, 9.5, 13.5]
    assert found.to_json()["square"] == "zoom-14 group"
