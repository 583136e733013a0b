"""Tables of a sweep: rows of text cells, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from geojepa_cli.evaluate.protocols import MEANINGS
from geojepa_cli.evaluate.report_text import MARKED, NONE
from geojepa_cli.evaluate.sweep_scores import MIN_SEEDS
from geojepa_cli.tasks.splits import FEW_TEST_GROUPS

COST = ("steps", "tokens", "training_s", "parameters")
EXPLANATION = (
    "score: for each task, the MAE is divided by that of Dummy, which predicts the median label; the score is the mean "
    "over tasks and seeds (0 is perfect, 1 is no better than Dummy). Differences are paired: both trials are compared "
    "on the same tiles, with 95 % intervals from a bootstrap that draws zoom-14 groups and, for each trial, training "
    f"seeds. With fewer than {FEW_TEST_GROUPS} groups or fewer than {MIN_SEEDS} seeds, no trial is called better. "
    "Ranking trials is a choice on the tested tiles, so the score of the best trial is too good: confirm it on other "
    "regions. Cost: means over the models of a trial. A dash for a setting means that of the base configuration."
)


def settings_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the keys of all settings in which trials differ, in the order of the sweep."""
    return list(dict.fromkeys(key for row in rows for key in row["settings"]))


def reference_note(content: Mapping[str, Any]) -> str:
    """Returns a text that says with which trial the others are compared, or that this trial failed.

    Args:
        content: content of `sweep.json`.
    """
    name = content["reference"]
    if any(row["trial"] == name and row["error"] for row in content["tables"][0]["rows"]):
        return f"no differences are shown, because the reference trial {name} failed"
    return f"differences from the trial {name}"


def columns_of(table: Mapping[str, Any], reference: str) -> list[str]:
    """Returns the names of the columns of the table that `cells_of` returns."""
    keys = settings_of(table["rows"])
    difference = [f"− {reference}", "95 % interval", "verdict"]
    return ["rank", "trial", *keys, "score", "spread", *difference, "protocol", "steps", "tokens", "s", "parameters"]


def cells_of(table: Mapping[str, Any]) -> list[list[str]]:
    """Returns a row of text cells for each trial. A trial that failed has its error in place of the protocol."""
    keys = settings_of(table["rows"])
    return [
        [
            NONE if row["rank"] is None else str(row["rank"]),
            row["trial"],
            *(_value(row["settings"].get(key, NONE)) for key in keys),
            _number(row["score"], "{:.4f}"),
            _number(row["spread"], "{:.4f}"),
            *_difference(row),
            f"failed: {row['error']}" if row["error"] else row["protocol"] or NONE,
            *(_number(row[name], "{:,.0f}") for name in COST),
        ]
        for row in table["rows"]
    ]


PRINTED = ("rank", "trial", "score", "difference and 95 % interval", "verdict", "protocol", "steps", "s")


def printed_cells(table: Mapping[str, Any]) -> list[list[str]]:
    """Returns a row of text cells for each trial, with only the columns `PRINTED`. This table fits on a terminal."""
    return [
        [
            NONE if row["rank"] is None else str(row["rank"]),
            row["trial"],
            _number(row["score"], "{:.4f}"),
            NONE if row["difference"] is None else "{value:+.4f} [{low:+.4f}, {high:+.4f}]".format(**row["difference"]),
            "failed" if row["error"] else row["verdict"] or NONE,
            row["protocol"] or NONE,
            *(_number(row[name], "{:,.0f}") for name in ("steps", "training_s")),
        ]
        for row in table["rows"]
    ]


def sweep_markdown(content: Mapping[str, Any]) -> str:
    """Returns the tables of a sweep as Markdown: one for each head. The best trial is bold if it is clearly the best.

    Args:
        content: content of `sweep.json`.
    """
    where, tested = ", ".join(content["regions"]), ", ".join(content["test_regions"])
    folds = f", folds {', '.join(map(str, content['folds']))}" if content["folds"] else ""
    lines = [f"# Sweep {content['name']}", "", EXPLANATION, ""]
    lines += ["- base configuration: `base.yaml`", f"- trained on: {where}", f"- tested on: {tested}{folds}"]
    tasks = f"{', '.join(content['tasks'])} ({'masked' if content['masked'] else 'plain'})"
    lines += [f"- tasks: {tasks}", f"- seeds: {', '.join(map(str, content['seeds']))}"]
    lines += [f"- {reference_note(content)}", ""]
    found = {row["protocol"] for table in content["tables"] for row in table["rows"]}
    lines += [f"- {MARKED.get(name, name)}: {meaning}" for name, meaning in MEANINGS.items() if name in found] + [""]
    for table in content["tables"]:
        columns = columns_of(table, content["reference"])
        lines += [f"## Head {table['head']}", "", _line(columns), "|" + " --- |" * len(columns)]
        for row, cells in zip(table["rows"], cells_of(table), strict=True):
            marked = [MARKED.get(cell, cell) for cell in cells]
            lines.append(_line([f"**{cell}**" if row["best"] else cell for cell in marked]))
        lines.append("")
    return "\n".join(lines)


def sweep_csv(content: Mapping[str, Any]) -> str:
    """Returns the tables of a sweep as CSV: a line for each head and trial, with the score of each task and seed."""
    rows = content["tables"][0]["rows"]
    keys, seeds = settings_of(rows), [f"seed_{seed}" for seed in content["seeds"]]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    figures = ("score", "spread", "difference", "low", "high", "groups", "verdict", "protocol")
    writer.writerow(["head", "rank", "trial", "best", *keys, *figures, *content["tasks"], *seeds, *COST, "error"])
    for table in content["tables"]:
        for row in table["rows"]:
            interval = row["difference"] or {}
            per_seed = row["seeds"] or [None] * len(seeds)
            per_seed = per_seed if len(per_seed) == len(seeds) else per_seed * len(seeds)  # a baseline has one seed
            writer.writerow(
                [
                    *(table["head"], row["rank"], row["trial"], int(row["best"])),
                    *(_value(row["settings"].get(key, "")) for key in keys),
                    *(row["score"], row["spread"], *(interval.get(name) for name in ("value", "low", "high"))),
                    *(row["groups"], row["verdict"], row["protocol"]),
                    *((row["tasks"] or {}).get(task) for task in content["tasks"]),
                    *(*per_seed, *(row[name] for name in COST), row["error"]),
                ]
            )
    return file.getvalue()


def _difference(row: Mapping[str, Any]) -> list[str]:
    if row["difference"] is None:
        return [NONE, NONE, NONE]
    interval = row["difference"]
    return [f"{interval['value']:+.4f}", f"{interval['low']:+.4f} … {interval['high']:+.4f}", row["verdict"]]


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else form.format(value)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    words = {True: "true", False: "false", None: "null"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
