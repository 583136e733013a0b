"""Tables over all probes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from geojepa_cli.evaluate.comparison import TaskErrors
from geojepa_cli.evaluate.overview import build_overview
from geojepa_cli.evaluate.report import build_tables
from geojepa_cli.evaluate.report_input import check_probe
from geojepa_cli.evaluate.report_text import score_rows, to_markdown


def _probe(
    task: str,
    maes: dict[str, float],
    masked: bool = True,
    regions: tuple[str, ...] = ("a@1",),
    protocol: str = "transfer",
    **tested: object,
) -> dict[str, Any]:
    dummy = maes["dummy"]
    scores = [
        {
            "model": model,
            "head": "median" if model == "dummy" else "linear",
            "mae": {"value": mae, "low": mae - 0.1, "high": mae + 0.1},
            "relative": mae / dummy if dummy else None,
            "protocol": "no pretraining" if model == "dummy" else protocol,
            "seeds": 1,
        }
        for model, mae in maes.items()
    ]
    description = {"task": task, "masked": masked, "regions": list(regions), "evaluation_description": "30 groups"}
    return {**description, "evaluation": "task folds", **tested, "scores": scores}


def test_score_is_the_mean_ratio_to_dummy_and_harmonic_is_relative_to_the_best() -> None:
    probes = [_probe("x", {"dummy": 4.0, "m": 2.0}), _probe("y", {"dummy": 10.0, "m": 8.0})]
    table = build_tables(probes)[0]
    assert table.score("m (linear)") == pytest.approx(0.65)
    assert table.score("dummy (median)") == pytest.approx(1.0)
    assert table.harmonic("m (linear)") == pytest.approx(1.0)
    assert table.harmonic("dummy (median)") == pytest.approx(2 / (2 + 1.25))
    assert table.rows == ["m (linear)", "dummy (median)"]


def test_variants_and_regions_are_never_mixed_in_a_table() -> None:
    maes = {"dummy": 4.0, "m": 2.0}
    probes = [_probe("x", maes), _probe("x", maes, masked=False), _probe("x", maes, regions=("a@1", "b@1"))]
    assert [(table.masked, table.regions) for table in build_tables(probes)] == [
        (False, ("a@1",)),
        (True, ("a@1",)),
        (True, ("a@1", "b@1")),
    ]


def test_figures_of_different_tiles_are_never_in_one_table() -> None:
    easy, hard = {"dummy": 4.0, "m": 1.0}, {"dummy": 4.0, "n": 3.0}
    probes = [
        _probe("x", easy),
        _probe("x", hard, fold=1),
        _probe("x", easy, fold=0),
        _probe("x", hard, evaluation="test split"),
    ]
    tables = build_tables(probes)
    assert [(table.evaluation, table.fold) for table in tables] == [
        ("task folds", None),
        ("task folds", 0),
        ("task folds", 1),
        ("test split", None),
    ]
    assert [table.harmonic(table.rows[0]) for table in tables] == [1.0, 1.0, 1.0, 1.0]
    assert len({table.title for table in tables}) == 4 and "fold 1" in tables[2].title


def _errors(tiles: str, *rows: str) -> TaskErrors:
    values = np.ones(2)
    return TaskErrors(tiles, np.array(["g", "h"]), values, dict.fromkeys(("dummy (median)", *rows), values))


def test_rows_of_other_tiles_are_in_another_table_with_their_own_dummy() -> None:
    probes = [
        _probe("x", {"dummy": 4.0, "m": 2.0}),
        _probe("x", {"dummy": 4.0, "n": 1.0}),
        _probe("x", {"dummy": 1.0, "some": 0.9}),
        _probe("y", {"dummy": 8.0, "m": 2.0}),
    ]
    errors = [_errors(tiles, row) for tiles, row in (("all", "m"), ("all", "n"), ("part", "some"), ("other task", "m"))]
    first, second = build_tables(probes, errors)
    assert first.tasks == ["x", "y"] and first.score("m (linear)") == pytest.approx(0.375)
    assert set(first.cells["x"]) == {"m (linear)", "n (linear)", "dummy (median)"}
    assert second.tasks == ["x"] and second.score("some (linear)") == pytest.approx(0.9)
    assert first.tile_set == 0 and second.tile_set == 1 and "other tiles" in second.title
    overview = build_overview([table.to_json() for table in (first, second)], {})
    assert [[part["table"] for part in block["parts"]] for block in overview] == [[0], [1]]


def test_of_sets_of_tiles_with_as_many_rows_the_newest_is_first() -> None:
    probes = [_probe("x", {"dummy": 4.0, "m": 2.0}), _probe("x", {"dummy": 1.0, "m": 0.9})]
    tables = build_tables(probes, [_errors("old", "m"), _errors("new", "m")])
    assert [table.maes["x"]["m (linear)"] for table in tables] == [0.9, 2.0]


def test_a_row_never_has_the_results_of_two_models_of_one_name() -> None:
    def of(task: str, ref: str, mae: float) -> dict[str, Any]:
        probe = _probe(task, {"dummy": 4.0, "m": mae})
        probe["scores"][1]["ref"] = ref
        return probe

    probes = [of("x", "m@old", 2.0), of("y", "m@old", 2.0), of("y", "m@new", 1.0)]
    errors = [_errors(task, "m (linear)") for task in ("x", "y", "y")]
    table = build_tables(probes, errors)[0]
    assert set(table.cells["x"]) == {"m@old (linear)", "dummy (median)"}
    assert set(table.cells["y"]) == {"m@old (linear)", "m (linear)", "dummy (median)"}
    assert table.score("m@old (linear)") == pytest.approx(0.5) and table.maes["y"]["m (linear)"] == 1.0
    compared = {frozenset((one.a, one.b)) for one in table.comparisons}
    assert frozenset(("m (linear)", "m@old (linear)")) in compared


def test_models_of_different_protocols_are_in_different_tables_each_with_the_baselines() -> None:
    probes = [
        _probe("x", {"dummy": 4.0, "m": 1.0}, protocol="seen"),
        _probe("x", {"dummy": 4.0, "n": 2.0, "o": 3.0}),
        _probe("x", {"dummy": 4.0, "tagpool": 3.5}, protocol="no pretraining"),
        _probe("y", {"dummy": 4.0, "n": 1.0}),
    ]
    tables = {table.protocol: table for table in build_tables(probes)}
    assert set(tables) == {"transfer", "seen"}
    assert set(tables["seen"].rows) == {"m (linear)", "tagpool (linear)", "dummy (median)"}
    assert set(tables["transfer"].rows) == {"n (linear)", "o (linear)", "tagpool (linear)", "dummy (median)"}
    assert tables["seen"].tasks == ["x"] and tables["transfer"].tasks == ["x", "y"]
    assert tables["transfer"].harmonic("n (linear)") == 1.0
    assert "protocol seen" in tables["seen"].title


def test_a_newer_probe_replaces_an_older_one_of_the_same_model() -> None:
    probes = [_probe("x", {"dummy": 4.0, "m": 2.0}), _probe("x", {"dummy": 4.0, "m": 3.0})]
    assert build_tables(probes)[0].maes["x"]["m (linear)"] == 3.0


def test_a_model_without_all_tasks_has_no_score() -> None:
    probes = [_probe("x", {"dummy": 4.0, "m": 2.0, "n": 1.0}), _probe("y", {"dummy": 1.0, "m": 0.5})]
    table = build_tables(probes)[0]
    by_model = {entry["model"]: entry for entry in table.to_json()["models"]}
    assert by_model["n (linear)"]["score"] is None
    assert by_model["m (linear)"]["score"] == pytest.approx(0.5)
    text = to_markdown({"overview": [], "tables": [table.to_json()]}, {})
    assert score_rows(table.to_json())[-1] == ["n (linear)", "transfer", "1 [0.9, 1.1]", "–", "–", "–"]
    assert "| n (linear) | transfer | 1 [0.9, 1.1] | – | – | – |" in text
    assert "- x: 30 groups" in text


def test_a_task_in_which_dummy_never_errs_gives_no_score() -> None:
    table = build_tables([_probe("x", {"dummy": 0.0, "m": 0.0})])[0]
    assert table.to_json()["models"][0]["score"] is None


def test_no_harmonic_score_is_shown_next_to_a_model_without_errors() -> None:
    table = build_tables(
        [_probe("x", {"dummy": 4.0, "m": 0.0, "n": 1.0}), _probe("y", {"dummy": 1.0, "m": 0.5, "n": 0.5})]
    )[0]
    by_model = {entry["model"]: entry for entry in table.to_json()["models"]}
    assert by_model["m (linear)"]["harmonic"] == pytest.approx(1.0)
    assert by_model["n (linear)"]["harmonic"] is None
    assert {row[0]: row[-2:] for row in score_rows(table.to_json())}["n (linear)"] == ["0.375", "–"]


def test_missing_and_wrong_entries_of_a_report_are_named() -> None:
    whole = _probe("x", {"dummy": 4.0, "m": 2.0})
    assert check_probe(whole) is None
    assert check_probe([]) is not None
    del (lacking := dict(whole))["evaluation_description"]
    assert "evaluation_description" in (check_probe(lacking) or "")
    broken = {**whole, "scores": [{**whole["scores"][0], "mae": {"value": 1.0, "low": 0.5}}]}
    assert "scores.0.mae.high" in (check_probe(broken) or "")
    assert "Dummy" in (check_probe({**whole, "scores": whole["scores"][1:]}) or "")
    for wrong in ({"regions": "a@1"}, {"masked": "yes"}, {"scores": {}}, {"task": None}):
        assert next(iter(wrong)) in (check_probe({**whole, **wrong}) or "")
    infinite = {**whole["scores"][0], "mae": {"value": float("inf"), "low": 0.0, "high": 1.0}}
    assert "scores.0.mae.value" in (check_probe({**whole, "scores": [infinite]}) or "")
