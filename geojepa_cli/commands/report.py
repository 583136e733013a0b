"""`geojepa report`: makes tables and plots of the scores of all `geojepa probe` runs in the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.stages.reports import JSON_FILE, MARKDOWN_FILE
from geojepa_cli.workspace.artifact import Artifact


@example(out="report")
def report(
    ctx: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also copy the report, with its plots, to this folder.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Compare the scores of all models that were tested with `geojepa probe`, for each task."""
    made = stages.report(options.workspace(ctx), out)
    tables = made.read_json(JSON_FILE)
    if json:
        console.emit_json("report", made.ref, tables)
    else:
        print_report(tables, made, out)


def print_report(tables: list[dict[str, Any]], made: Artifact, out: Path | None) -> None:
    """Prints the tables of a report and the path of `report.md`.

    Probes with the same regions, the same tags (masked or plain) and the same kind of split share a table of scores.
    If two of its models can be compared, a table of paired differences follows. Two models can be compared if they were
    tested on the same tiles of a task, and have the same head or one of them was trained on labels.

    Args:
        tables: content of the report's `report.json`.
        made: artifact of the report.
        out: folder to which the report was copied, or None.
    """
    from geojepa_cli.evaluate.protocols import MEANINGS, SEEN
    from geojepa_cli.evaluate.report_text import COMPARISON_COLUMNS, comparison_rows, score_rows

    for table in tables:
        columns = ["model", "protocol", *sorted(table["evaluations"]), "score", "harmonic"]
        console.table(table["title"], columns, score_rows(table), red=(SEEN,))
        if table["comparisons"]:
            console.table("paired differences", COMPARISON_COLUMNS, comparison_rows(table))
    console.print_line(
        "score: for each task, the MAE of the model is divided by the MAE of Dummy, which predicts the median label; "
        "the score is the mean of these ratios over tasks (0 is perfect, 1 is no better than Dummy)\n"
        "harmonic: for each task, the best MAE in the table is divided by the MAE of the model; this column is the "
        "harmonic mean of these ratios over tasks (1 is best in every task)"
    )
    found = {model["protocol"] for table in tables for model in table["models"]}
    for name in (one for one in MEANINGS if one in found):
        console.print_line(f"protocol `{name}`: {MEANINGS[name]}")
    if any(table["comparisons"] for table in tables):
        console.print_line(
            "paired differences: score of model a minus score of model b on the same tiles; no conclusion is drawn "
            "from fewer than 20 groups (zoom-14 tiles)"
        )
    console.print_line(f"{made.full_ref}: {out / MARKDOWN_FILE if out else made.file(MARKDOWN_FILE)}")
