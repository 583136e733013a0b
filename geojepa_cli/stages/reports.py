"""Stage `reports/`: compares the scores of all models that were probed, in tables and plots."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.probes import PREDICTIONS_FILE, PROBES
from geojepa_cli.stages.probes import REPORT_FILE as PROBE_REPORT
from geojepa_cli.stages.stage import Stage, as_command
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains, name_of, rebuild_hint
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.comparison import TaskErrors

NAME = "all"
MARKDOWN_FILE, JSON_FILE = "report.md", "report.json"


def _rebuild(remains: Remains) -> Hint:
    return hints.run("report")


REPORTS = Stage("reports", version=3, rebuild=_rebuild, files=(MARKDOWN_FILE, JSON_FILE))


@as_command("report")
def report(workspace: Workspace, out: str | Path | None = None) -> Artifact:
    """Compares all models that were probed in a workspace: makes a table and a plot of their scores for each task.

    Args:
        workspace: workspace to read from and publish to.
        out: folder to which the files of the report are also copied; None for no copy.

    Returns:
        The `reports/` artifact with `report.md`, `report.json` and a plot for each table.

    Raises:
        DataError: the workspace contains no probe, or all probes are damaged.
        GeojepaError: the files cannot be copied to `out`.
    """
    probes = read_probes(workspace)
    refs = [probe.ref for probe, _, _ in probes]
    inputs = [probe for probe, _, _ in probes]

    def write(build: Build) -> Artifact:
        from geojepa_cli.evaluate.plots.probe import plot_report
        from geojepa_cli.evaluate.predictions import DUMMY_ROW
        from geojepa_cli.evaluate.report import build_tables
        from geojepa_cli.evaluate.report_text import to_markdown

        tables = build_tables([content for _, content, _ in probes], [errors for _, _, errors in probes])
        plain = [table.to_json() for table in tables]
        (build.partial / MARKDOWN_FILE).write_text(to_markdown(plain), encoding="utf-8")
        text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)
        (build.partial / JSON_FILE).write_text(text + "\n", encoding="utf-8")
        for number, table in enumerate(tables, start=1):
            scores = {row: table.score(row) for row in table.complete_rows if row != DUMMY_ROW}
            protocols = {row: table.protocol_of(row) for row in scores}
            path = build.partial / f"report-{number}.png"
            plot_report(scores, table.relative_by_row(scores), table.title, path, protocols)
        return build.publish(counts={"probes": len(probes), "tables": len(tables)})

    # a newer probe replaces an older one of the same model and task, so the order of probes affects the result
    made = REPORTS.make(workspace, NAME, {"probes": refs}, inputs, write)
    if out is not None:
        _copy(made, Path(out))
    return made


def read_probes(workspace: Workspace) -> list[tuple[Artifact, dict[str, Any], TaskErrors]]:
    """Reads all probes of a workspace, oldest first. Skips damaged probes with a warning.

    Returns:
        For each probe: the artifact, the content of its `report.json`, and the prediction errors for its test tiles.

    Raises:
        DataError: the workspace contains no probe, or all probes are damaged.
    """
    for ref, reason in workspace.damaged(PROBES.kind).items():
        console.warn(
            f"damaged probe left out of the report: {reason}", rebuild_hint(PROBES.kind, Remains(name_of(ref)))
        )
    found: list[tuple[Artifact, dict[str, Any], TaskErrors]] = []
    last: DataError | None = None
    for probe in workspace.artifacts(PROBES.kind):
        try:
            found.append((probe, *read_probe(probe)))
        except DataError as error:
            console.warn(f"damaged probe left out of the report: {error.message}", error.hint)
            last = error
    if found:
        return found
    if last is not None:
        raise last
    raise DataError(f"there are no probes in `{workspace.root}`", hints.run("probe", task="max_speed"))


def read_probe(probe: Artifact) -> tuple[dict[str, Any], TaskErrors]:
    """Returns the content of a probe's `report.json`, and the prediction errors for its test tiles.

    Raises:
        DataError: the probe is damaged. The hint is the command that rebuilds it.
    """
    from geojepa_cli.evaluate.comparison import task_errors
    from geojepa_cli.evaluate.predictions import read_predictions
    from geojepa_cli.evaluate.report import check_probe

    content = probe.read_json(PROBE_REPORT)
    if wrong := check_probe(content):
        raise probe.broken(f"`{probe.path / PROBE_REPORT}` is not the report of a probe: {wrong}")
    path = probe.verified_file(PREDICTIONS_FILE)
    try:
        predictions = read_predictions(
            path, [(score["model"], score["head"], score["seeds"]) for score in content["scores"]]
        )
    except (ValueError, OSError) as error:
        raise probe.broken(f"`{path}` cannot be read: {error}") from error
    return content, task_errors(predictions)


def _copy(made: Artifact, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in made.manifest["files"]:
            shutil.copyfile(made.file(name), folder / name)
    except OSError as error:
        raise GeojepaError(
            f"the folder `{folder}` cannot be written: {error.strerror}", hints.again(out="report")
        ) from error
