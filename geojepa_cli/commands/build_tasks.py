"""`geojepa build-tasks`: makes the labels, splits and masks of prediction tasks, without copying the tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geojepa_cli import console, hints, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.analysis import print_analysis
from geojepa_cli.commands.tables.counts import print_path
from geojepa_cli.commands.tables.tasks import print_tasks
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.exports import check_format
from geojepa_cli.stages.task_analysis import ANALYSIS_FILE
from geojepa_cli.stages.tasks import REPORT_FILE
from geojepa_cli.workspace.artifact import Artifact

TaskNames = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        help="Name of a task that comes with geojepa, or path of a YAML file. Repeat for several tasks. Default: "
        "all tasks that come with geojepa.",
    ),
]
Split = Annotated[
    str,
    typer.Option(
        help="`group`: tiles in the same zoom-14 tile are in the same split. `random`: each tile is assigned to a "
        "split at random. Use `random` only to measure how much scores improve if test tiles adjoin training tiles."
    ),
]
Folds = Annotated[
    int | None,
    typer.Option("--folds", help="Number of cross-validation folds, 2 to 20. Default: no folds."),
]
Buffer = Annotated[
    bool,
    typer.Option(
        "--buffer",
        help="Do not use a tile for training or validation if its zoom-14 tile touches a zoom-14 tile of the test "
        "split. With --folds, the tested fold is the test split.",
    ),
]
Analyze = Annotated[
    str | None,
    typer.Option(help="Do not build tasks, but list and plot the tags that best predict the label of this task."),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="File with labels that do not come from OpenStreetMap: CSV, GeoJSON or GeoParquet with points, polygons "
        "or tiles (column `tile`). Requires `--label`; cannot be combined with `--task`."
    ),
]
Label = Annotated[str | None, typer.Option("--label", help="With `--labels`: name of the column with the values.")]
Name = Annotated[
    str | None, typer.Option(help="With `--labels`: name of the task. Default: made from the name of the column.")
]
Reduce = Annotated[
    str | None,
    typer.Option(
        help="With `--labels`: how one label is computed from the values in a tile. `mean`: their mean; polygons are "
        "weighted by their area in the tile. `sum`: their sum; if a tenth of a polygon's area is in the tile, a tenth "
        "of its value is added. `max`: the largest value. `nearest`: the value nearest to the centre of the tile. "
        "Default: `mean`."
    ),
]
Crs = Annotated[
    str | None,
    typer.Option(help="With `--labels`: CRS of the coordinates, such as `EPSG:2248`. Default: the CRS of the file."),
]
Attribution = Annotated[
    list[str] | None,
    typer.Option(help="With `--labels`: text that credits the source of the file. Repeat for several lines."),
]
Export = Annotated[
    str | None,
    typer.Option(
        help="Also write the tiles of each task as a folder for another program. `autogluon`: images, and CSV files "
        "with tag counts and labels, for AutoGluon's multimodal predictor."
    ),
]
Masked = Annotated[
    bool, typer.Option("--masked", help="With `--export`: leave out the tags and entities that reveal the label.")
]


@example(region="state-college", labels="prices.csv", label="price")
@example(region="state-college", task="max_speed")
def build_tasks(
    ctx: typer.Context,
    region: options.Regions = None,
    task: TaskNames = None,
    seed: options.Seed = 0,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    bbox: options.Bbox = None,
    with_imagery: options.WithImagery = False,
    split: Split = "group",
    folds: Folds = None,
    buffer: Buffer = False,
    analyze: Analyze = None,
    labels: Labels = None,
    label: Label = None,
    name: Name = None,
    reduce: Reduce = None,
    crs: Crs = None,
    attribution: Attribution = None,
    export: Export = None,
    masked: Masked = False,
    json: options.Json = False,
) -> None:
    """Make labels and train/validation/test splits of prediction tasks, and mask the tags that reveal a label."""
    workspace, box = options.workspace(ctx), options.parse_bbox(bbox)
    shared = (seed, min_entities, max_entities, box, with_imagery, split, folds, buffer)
    of_file = {"label": label, "name": name, "reduce": reduce, "crs": crs, "attribution": attribution}
    _check_combination(task, analyze, labels, of_file)
    _check_export(export, masked, analyze)
    if analyze is not None:
        analysis = stages.analyze_task(workspace, analyze, region, *shared)
        if json:
            console.emit_json("build-tasks", analysis.ref, analysis.read_json(ANALYSIS_FILE))
        else:
            print_analysis(analysis)
        return
    if labels is not None and label is not None:
        made = stages.build_labels(workspace, labels, label, region, name, reduce, crs, attribution or (), *shared)
    else:
        made = stages.build_tasks(workspace, region, task, *shared)
    _print(made, [] if export is None else stages.export_task(workspace, export, made, None, masked), json)


def _check_export(export: str | None, masked: bool, analyze: str | None) -> None:
    """Checks the options of an export.

    Raises:
        UsageError: the format is unknown, or the options cannot be combined with others.
    """
    if masked and export is None:
        hint = hints.run("build-tasks", export="autogluon", masked=True)
        raise UsageError("`--masked` requires `--export`: tasks always have a masked variant too", hint)
    if export is not None:
        check_format(export)
    if export is not None and analyze is not None:
        hint = hints.run("build-tasks", task=analyze, export=export, masked=masked)
        raise UsageError("`--analyze` cannot be combined with `--export`", hint)


def _check_combination(
    task: list[str] | None, analyze: str | None, labels: Path | None, of_file: dict[str, str | list[str] | None]
) -> None:
    """Checks that the given options can be combined.

    Raises:
        UsageError: two options cannot be combined, or an option lacks the option that it requires.
    """
    if analyze is not None and task:
        raise UsageError("`--analyze` cannot be combined with `--task`", hints.run("build-tasks", analyze=analyze))
    if labels is not None and (task or analyze is not None):
        other = "--task" if task else "--analyze"
        hint = hints.run("build-tasks", labels=labels, label=of_file["label"] or "COLUMN")
        raise UsageError(f"`--labels` cannot be combined with `{other}`", hint)
    if labels is not None and of_file["label"] is None:
        hint = hints.run("build-tasks", labels=labels, label="COLUMN")
        raise UsageError("`--labels` requires `--label`, the column with the values", hint)
    given = [f"--{name}" for name, value in of_file.items() if value]
    if labels is None and given:
        raise UsageError(
            f"`{given[0]}` requires `--labels`, the file with the values",
            hints.run("build-tasks", labels="FILE", label="COLUMN"),
        )


def _print(made: list[Artifact], exported: list[Artifact], json: bool) -> None:
    reports = [(artifact, artifact.read_json(REPORT_FILE)) for artifact in made]
    if json:
        answers = [(artifact.ref, report) for artifact, report in reports]
        answers += [(artifact.ref, {"path": str(artifact.path), **artifact.counts}) for artifact in exported]
        console.emit_json_each("build-tasks", answers)
        return
    print_tasks([(artifact.name.removesuffix(f".{report['task']}"), report) for artifact, report in reports])
    for artifact in [*made, *exported]:
        print_path(artifact)
