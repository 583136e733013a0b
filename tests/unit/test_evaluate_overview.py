"""The overview of a report, and its CSV files."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from probe_reports import errors_of, probe_report

from geojepa_cli.evaluate.overview import build_overview
from geojepa_cli.evaluate.report import build_tables
from geojepa_cli.evaluate.report_csv import COLUMNS, COST_COLUMNS, costs_to_csv, results_to_csv
from geojepa_cli.evaluate.report_text import count, detail_cells, duration, part_cells, shares, to_markdown

RANDOM = "resnet50-random (random image encoder)"
FACTS = {"m": {"parameters": 872_832, "all_parameters": 86_671_488, "training_parameters": 139_136}}


def _reports() -> list[dict[str, Any]]:
    plain = {"dummy": 4.0, "tagpool": 3.0, "m": 1.0, RANDOM: 0.5}
    return [
        probe_report("x", plain, masked=False),
        probe_report("x", {"dummy": 4.0, "tagpool": 3.0, "m": 2.0, "m without shared": 2.5}),
        probe_report("y", {"dummy": 1.0, "tagpool": 0.75, "m": 0.5}, buffer=True),
        probe_report("y", {"dummy": 1.0, "s": 0.25}, protocol="seen"),
    ]


def _tables() -> list[dict[str, Any]]:
    reports = _reports()
    shared = [0.08, 0.06, 0.02, None]
    return [table.to_json() for table in build_tables(reports, [errors_of(one) for one in reports], shared)]


def test_plain_and_masked_tasks_of_a_protocol_are_next_to_each_other() -> None:
    blocks = {block["protocol"]: block for block in build_overview(_tables(), FACTS)}
    assert set(blocks) == {"transfer", "seen"}
    parts = blocks["transfer"]["parts"]
    assert [(part["masked"], part["tasks"]) for part in parts] == [(False, ["x"]), (True, ["x", "y"])]
    rows = {row["model"]: row for row in blocks["transfer"]["rows"]}
    plain, masked = rows["m (linear)"]["parts"]
    assert plain == {"relative": {"x": 0.25}, "score": 0.25, "harmonic": 1.0, "bold": ["x", "score"]}
    assert masked["relative"] == {"x": 0.5, "y": 0.5} and masked["bold"] == ["x", "y", "score"]
    assert masked["score"] == pytest.approx(0.5)
    assert rows["m without shared (linear)"]["parts"][0] is None
    assert part_cells(rows["m without shared (linear)"], 0, parts[0], "*") == ["–", "–", "–"]
    assert part_cells(rows["m (linear)"], 1, parts[1], "*") == ["*0.500*", "*0.500*", "*0.500*", "1.000"]


def test_the_overview_has_leakage_and_parameters_in_its_rows() -> None:
    block = next(block for block in build_overview(_tables(), FACTS) if block["protocol"] == "transfer")
    rows = {row["model"]: row for row in block["rows"]}
    assert rows["m (linear)"]["shared_entities"] == [0.02, 0.08] and rows["m (linear)"]["buffer"] is None
    assert rows["m without shared (linear)"]["shared_entities"] == [0.0, 0.0]
    assert rows["m without shared (linear)"]["buffer"] is False
    assert (rows["m (linear)"]["parameters"], rows["m (linear)"]["all_parameters"]) == (872_832, 86_671_488)
    assert rows["dummy (median)"]["parameters"] == 0 and rows["tagpool (linear)"]["parameters"] is None
    costs = {"m": {"training": {"seconds": 628.4, "device": "cpu"}, "embedding": {"tiles_per_s": 164.0}}}
    cells = detail_cells(rows["m (linear)"], costs)
    assert cells == ["m (linear)", "transfer", "2.0–8.0 %", "in part", "873 k", "86.7 M", "10 min, cpu", "164"]
    (seen,) = (one for one in build_overview(_tables(), FACTS) if one["protocol"] == "seen")
    unknown = next(row for row in seen["rows"] if row["model"] == "s (linear)")
    assert unknown["shared_entities"] is None and detail_cells(unknown, {})[2] == "–"


def test_rows_outside_the_ranking_come_last_and_are_never_bold() -> None:
    block = next(block for block in build_overview(_tables(), FACTS) if block["protocol"] == "transfer")
    last = block["rows"][-1]
    assert last["model"] == f"{RANDOM} (linear)" and not last["ranked"]
    assert last["parts"][0]["bold"] == [] and last["parts"][0]["relative"]["x"] < 0.25


def test_markdown_has_the_overview_with_the_best_in_bold() -> None:
    tables = _tables()
    content = {"overview": build_overview(tables, FACTS), "tables": tables}
    text = to_markdown(content, {})
    assert "| m (linear) | **0.250** | **0.250** | 1.000 | **0.500** |" in text
    assert "🔴 seen" in text and "(not ranked)" in text
    assert "| model | plain: x | plain: score | plain: harmonic | masked: x | masked: y |" in text


def test_the_csv_has_one_line_for_each_model_task_variant_head_and_protocol() -> None:
    reports = _reports()
    tables = build_tables(reports, [errors_of(one) for one in reports], [0.08, 0.06, 0.02, None])
    probes = [(f"p{place}@1", report) for place, report in enumerate(reports)]
    lines = list(csv.DictReader(io.StringIO(results_to_csv(tables, probes, FACTS))))
    assert tuple(lines[0]) == COLUMNS
    keys = [tuple(line[name] for name in ("task", "masked", "model", "head", "protocol", "probe")) for line in lines]
    assert len(set(keys)) == len(keys)
    scores = {
        (report["task"], str(report["masked"]).lower(), score["model"]): (score, f"p{place}@1")
        for place, report in enumerate(reports)
        for score in report["scores"]
    }
    for line in lines:
        score, probe = scores[line["task"], line["masked"], line["model"]]
        if probe != line["probe"]:
            continue  # Dummy of an older probe
        assert float(line["mae"]) == score["mae"]["value"] and float(line["mae_high"]) == score["mae"]["high"]
        assert float(line["mae_relative_to_dummy"]) == score["relative"]
        assert line["protocol"] == score["protocol"]
    assert {line["model"] for line in lines} == {"dummy", "tagpool", "m", "m without shared", "s", RANDOM}
    found = {(line["task"], line["masked"], line["model"]): line for line in lines}
    assert found["x", "false", "m"]["best"] == "true" and found["x", "false", RANDOM]["ranked"] == "false"
    assert found["x", "true", "m without shared"]["shared_entities"] == "0.0"
    assert found["y", "true", "s"]["shared_entities"] == "" and found["y", "true", "m"]["buffer"] == "true"
    assert found["x", "true", "m"]["all_parameters"] == "86671488"


def test_costs_are_in_a_csv_of_their_own() -> None:
    costs = {"m@1": {"training": {"seconds": 12.5, "device": "cpu", "tokens": 900}, "embedding": {"tiles_per_s": 3.2}}}
    (line,) = csv.DictReader(io.StringIO(costs_to_csv(costs)))
    assert tuple(line) == COST_COLUMNS
    assert (line["training_s"], line["training_device"], line["training_tokens"]) == ("12.5", "cpu", "900")
    assert (line["tiles_per_s"], line["embedding_s"]) == ("3.2", "")
    assert not set(COST_COLUMNS) & {*COLUMNS} - {"ref"}


def test_numbers_are_short_in_tables() -> None:
    assert [count(n) for n in (None, 0, 999, 1500, 5_173_504, 2_000_000_000)] == [
        "–",
        "0",
        "999",
        "1.5 k",
        "5.17 M",
        "2 G",
    ]
    assert [duration(s) for s in (4.321, 599.0, 3600.0, 360_000.0)] == ["4.32 s", "599 s", "60 min", "100 h"]
    assert [shares(ends) for ends in (None, [0.05, 0.05], [0.0, 0.031])] == ["–", "5.0 %", "0.0–3.1 %"]
