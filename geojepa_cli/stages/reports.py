"""Stage `reports/`: compares the scores of all models that were probed, in tables, plots and a page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.errors import GeojepaError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.report_leakage import ReportLeakage
from geojepa_cli.stages.report_models import ReportModels
from geojepa_cli.stages.report_probes import ReadProbe, read_probes
from geojepa_cli.stages.report_tiles import ReportTiles
from geojepa_cli.stages.stage import Stage, as_command
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.report import ReportTable

NAME = "all"
MARKDOWN_FILE, JSON_FILE, CSV_FILE, PAGE_FILE = "report.md", "report.json", "report.csv", "report.html"
COST_FILE, COST_CSV_FILE = "cost.json", "cost.csv"


def _rebuild(remains: Remains) -> Hint:
    return hints.run("report")


# schema 2: `report.json` is an object with the tables in `tables`
REPORTS = Stage(
    "reports",
    version=4,
    schema=3,
    rebuild=_rebuild,
    files=(MARKDOWN_FILE, JSON_FILE, CSV_FILE, PAGE_FILE, COST_FILE, COST_CSV_FILE),
)


@as_command("report")
def report(workspace: Workspace, out: str | Path | None = None) -> Artifact:
    """Compares all models that were probed in a workspace, in tables, plots and a page.

    Args:
        workspace: workspace to read from and publish to.
        out: folder to which the files of the report are also copied; None for no copy.

    Returns:
        The `reports/` artifact with `report.md`, `report.json`, `report.csv`, `report.html`, `cost.json`, `cost.csv`
        and a plot for each table.

    Raises:
        DataError: the workspace contains no probe, or all probes are damaged; or a task, a region or the images of the
            probed tiles are damaged.
        GeojepaError: the files cannot be copied to `out`.
    """
    from geojepa_cli.evaluate.report import build_tables

    probes = read_probes(workspace)
    models, leakage = ReportModels(workspace, probes), ReportLeakage(workspace, probes)
    contents, errors = [one.content for one in probes], [one.errors for one in probes]
    tiles = ReportTiles(workspace, probes, build_tables(contents, errors))
    facts, costs = models.facts(), models.costs()
    inputs = list(dict.fromkeys([*(one.artifact for one in probes), *leakage.inputs, *tiles.inputs]))

    def write(build: Build) -> Artifact:
        tables = build_tables(contents, errors, leakage.shares())
        _write_files(build, tables, probes, facts, costs, tiles)
        _plot(build, tables)
        return build.publish(counts={"probes": len(probes), "tables": len(tables)})

    # a newer probe replaces an older one of the same model and task, so the order of probes affects the result;
    # measured times are parameters, because other times give other files
    params = {"probes": [one.artifact.ref for one in probes], "models": facts, "costs": costs}
    made = REPORTS.make(workspace, NAME, params, inputs, write)
    if out is not None:
        _copy(made, Path(out))
    return made


def read_tables(made: Artifact) -> dict[str, Any]:
    """Returns the content of a report's `report.json`, with the measured costs as `costs`."""
    return {**made.read_json(JSON_FILE), "costs": made.read_json(COST_FILE)}


def _write_files(
    build: Build,
    tables: Sequence[ReportTable],
    probes: Sequence[ReadProbe],
    facts: Mapping[str, Any],
    costs: Mapping[str, Any],
    tiles: ReportTiles,
) -> None:
    from geojepa_cli.evaluate.overview import build_overview
    from geojepa_cli.evaluate.report_csv import costs_to_csv, results_to_csv
    from geojepa_cli.evaluate.report_text import to_markdown
    from geojepa_cli.pages.report.page import render_report

    plain = [table.to_json() for table in tables]
    content = {"overview": build_overview(plain, facts), "models": facts, "tables": plain, "tiles": tiles.to_json()}
    listed = [(one.artifact.ref, one.content) for one in probes]
    for name, text in {
        MARKDOWN_FILE: to_markdown(content, costs),
        JSON_FILE: _to_json(content),
        CSV_FILE: results_to_csv(tables, listed, facts),
        COST_FILE: _to_json(costs),
        COST_CSV_FILE: costs_to_csv(costs),
        PAGE_FILE: render_report(content, costs, tiles.plots(), tiles.pictures(), tiles.credits),
    }.items():
        (build.partial / name).write_text(text, encoding="utf-8")


def _to_json(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plot(build: Build, tables: Sequence[ReportTable]) -> None:
    from geojepa_cli.evaluate.plots.probe import plot_report
    from geojepa_cli.evaluate.predictions import DUMMY_ROW

    for number, table in enumerate(tables, start=1):
        scores = {row: table.score(row) for row in table.complete_rows if row != DUMMY_ROW}
        protocols = {row: table.protocol_of(row) for row in scores}
        path = build.partial / f"report-{number}.png"
        plot_report(scores, table.relative_by_row(scores), table.title, path, protocols)


def _copy(made: Artifact, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in made.manifest["files"]:
            shutil.copyfile(made.file(name), folder / name)
    except OSError as error:
        raise GeojepaError(
            f"the folder `{folder}` cannot be written: {error.strerror}", hints.again(out="report")
        ) from error
