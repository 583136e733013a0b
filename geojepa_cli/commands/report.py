"""`geojepa report`: all probes of the workspace as tables and plots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.stages.reports import read_probes


def report(
    ctx: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for `report.md` and its plots. Default: the workspace's `report/`."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Compare all models that were probed, task by task.

    Example: geojepa report --out report
    """
    workspace = options.workspace(ctx)
    reports = read_probes(workspace)
    from geojepa_cli.evaluate.plots.probe import plot_report
    from geojepa_cli.evaluate.report import build_tables, cells, to_markdown

    tables = build_tables(reports)
    folder = out or workspace.root / "report"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(to_markdown(tables), encoding="utf-8")
    for number, table in enumerate(tables, start=1):
        scores = {row: table.score(row) for row in table.complete_rows if not row.startswith("dummy ")}
        relative = {row: {t: table.relative.get(t, {}).get(row, float("nan")) for t in table.tasks} for row in scores}
        plot_report(scores, relative, table.title, folder / f"report-{number}.png")
    if json:
        console.emit_json("report", None, [table.to_json() for table in tables])
        return
    for table in tables:
        columns = ["model", *table.tasks, "score", "harmonic"]
        console.table(table.title, columns, [[row, *cells(table, row)] for row in table.rows])
    console.print_line("score: mean of MAE / Dummy's, 0 is perfect; harmonic: depends on the models in the table")
    console.print_line(f"written to {folder / 'report.md'}")
