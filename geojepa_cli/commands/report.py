"""`geojepa report`: makes tables, plots and a page of the scores of all `geojepa probe` runs in the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.stages.reports import MARKDOWN_FILE, PAGE_FILE, read_tables
from geojepa_cli.workspace.artifact import Artifact


@example(out="report")
def report(
    ctx: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also copy the report, with its page and plots, to this folder.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Compare the scores of all models that were tested with `geojepa probe`, for each task."""
    made = stages.report(options.workspace(ctx), out)
    content = read_tables(made)
    if json:
        console.emit_json("report", made.ref, content)
    else:
        print_report(content, made, out)


def print_report(content: dict[str, Any], made: Artifact, out: Path | None) -> None:
    """Prints the overview of a report, which fits on 80 columns, and the paths of its page and of `report.md`.

    For each tested set of regions and each protocol there are three tables: scores of plain tasks, scores of masked
    tasks, and leakage with parameters and costs. Paired differences of the model with the best score follow.

    Args:
        content: content of the report's `report.json`, with `costs`.
        made: artifact of the report.
        out: folder to which the report was copied, or None.
    """
    from geojepa_cli.evaluate import report_text as text
    from geojepa_cli.evaluate.protocols import MEANINGS, SEEN

    for block in content["overview"]:
        title = text.block_title(block)
        for place, part in enumerate(block["parts"]):
            rows = [
                [_name(row), *(cell.lstrip("*") for cell in text.part_cells(row, place, part, "*"))]
                for row in block["rows"]
                if row["parts"][place]
            ]
            columns = ["model", *(name.replace("_", "\n") for name in text.part_columns(part, False))]
            console.table(f"{title}: MAE / Dummy's, {text.part_title(part)}", columns, rows, compact=True)
        models = {row["name"]: row for row in reversed(block["rows"])}  # heads of a model have the same parameters
        details = [_details(row, content["costs"]) for row in reversed(list(models.values()))]
        columns = ["model", *(name.replace("parameters", "para-\nmeters") for name in text.DETAIL_COLUMNS)]
        console.table(f"{title}: leakage, parameters, cost", columns, details, red=(SEEN,), compact=True)
        for part in block["parts"]:
            _print_differences(content["tables"][part["table"]], text.part_title(part))
    for line in (*text.SCORES_EXPLAINED, f"*: {text.BOLD_EXPLAINED}", *text.DETAILS_EXPLAINED):
        console.print_line(line)
    found = {row["protocol"] for block in content["overview"] for row in block["rows"]}
    for name in (one for one in MEANINGS if one in found):
        console.print_line(f"protocol `{name}`: {MEANINGS[name]}")
    folder = out or made.path
    console.print_line(f"{made.full_ref}: {folder / MARKDOWN_FILE}, {folder / PAGE_FILE}")


def _name(row: dict[str, Any]) -> str:
    from geojepa_cli.evaluate.report_text import OUTSIDE

    return str(row["model"]) + ("" if row["ranked"] else OUTSIDE)


def _details(row: dict[str, Any], costs: dict[str, Any]) -> list[str]:
    """Returns the name of a model, then its leakage, parameters and costs. Leaves out the device, to save width."""
    from geojepa_cli.evaluate.report_text import detail_cells

    return [str(row["name"]), *(cell.partition(",")[0] for cell in detail_cells(row, costs)[1:])]


def _print_differences(table: dict[str, Any], title: str) -> None:
    """Prints the paired differences of the row with the best score. `report.md` has those of all pairs."""
    whole = table["best_score"]
    pairs = [one for one in table["comparisons"] if whole and whole["row"] in (one["a"]["model"], one["b"]["model"])]
    if not pairs:
        return
    rows = []
    for pair in pairs:
        sign, other = (1, pair["b"]) if pair["a"]["model"] == whole["row"] else (-1, pair["a"])
        value, low, high = (sign * pair["difference"][name] for name in ("value", "low", "high"))
        verdict = {"a is better": "better", "b is better": "worse"}.get(pair["verdict"], pair["verdict"])
        if sign < 0:
            low, high = high, low
            verdict = {"better": "worse", "worse": "better"}.get(verdict, verdict)
        rows.append([other["model"], f"{value:+.3f}", f"{low:+.3f} … {high:+.3f}", str(pair["groups"]), verdict])
    columns = ["compared with", "difference", "95 % interval", "groups", "verdict"]
    console.table(f"paired differences of {whole['row']}, {title}", columns, rows, compact=True)
