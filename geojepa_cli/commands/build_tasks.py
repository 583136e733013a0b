"""`geojepa build-tasks`: makes the labels, splits and masks of prediction tasks, without copying the tiles."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from geojepa_cli import console, hints, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.analysis import print_analysis
from geojepa_cli.commands.tables.counts import print_path
from geojepa_cli.commands.tables.tasks import print_tasks
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.task_analysis import ANALYSIS_FILE
from geojepa_cli.stages.tasks import REPORT_FILE


@example(region="state-college", task="max_speed")
def build_tasks(
    ctx: typer.Context,
    region: options.Regions = None,
    task: Annotated[
        Optional[list[str]],  # noqa: UP045 - Typer reads the annotation at run time
        typer.Option(
            help="Name of a task that comes with geojepa, or path of a YAML file. Repeat for several tasks. Default: "
            "all tasks that come with geojepa."
        ),
    ] = None,
    seed: options.Seed = 0,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    bbox: options.Bbox = None,
    with_imagery: options.WithImagery = False,
    split: Annotated[
        str,
        typer.Option(
            help="`group`: tiles in the same zoom-14 tile are in the same split. `random`: each tile is assigned to a "
            "split separately. Use `random` only to measure how much scores improve if test tiles are next to training "
            "tiles."
        ),
    ] = "group",
    folds: Annotated[
        int | None,
        typer.Option("--folds", help="Number of cross-validation folds, 2 to 20. Default: no folds."),
    ] = None,
    buffer: Annotated[
        bool, typer.Option("--buffer", help="Do not train or validate on zoom-14 tiles next to those with test tiles.")
    ] = False,
    analyze: Annotated[
        str | None,
        typer.Option(
            help="Instead of building tasks, list and plot the tags that give most information about the label of this "
            "task."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Make labels and train/validation/test splits of prediction tasks, and mask the tags that reveal a label."""
    workspace, box = options.workspace(ctx), options.parse_bbox(bbox)
    shared = (seed, min_entities, max_entities, box, with_imagery, split, folds, buffer)
    if analyze is not None:
        if task:
            raise UsageError("`--analyze` cannot be combined with `--task`", hints.run("build-tasks", analyze=analyze))
        analysis = stages.analyze_task(workspace, analyze, region, *shared)
        if json:
            console.emit_json("build-tasks", analysis.ref, analysis.read_json(ANALYSIS_FILE))
        else:
            print_analysis(analysis)
        return
    made = stages.build_tasks(workspace, region, task, *shared)
    reports = [(artifact, artifact.read_json(REPORT_FILE)) for artifact in made]
    if json:
        console.emit_json_each("build-tasks", [(artifact.ref, report) for artifact, report in reports])
    else:
        print_tasks([(artifact.name.removesuffix(f".{report['task']}"), report) for artifact, report in reports])
        for artifact in made:
            print_path(artifact)
