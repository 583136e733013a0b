"""`geojepa build-tasks`: labels, splits and masked views of a region. Nothing of the data is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.commands.analyze_task import say as say_analysis
from geojepa_cli.commands.options import parse_bbox
from geojepa_cli.commands.tasks_tables import say
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.filters import Filters
from geojepa_cli.stages.task_analysis import make_analysis
from geojepa_cli.stages.task_checks import check_splits, warn_of_nothing
from geojepa_cli.stages.tasks import Reports, Settings, find_specs, make_tasks

if TYPE_CHECKING:
    pass


def build_tasks(
    ctx: typer.Context,
    region: options.Regions = None,
    task: Annotated[
        Optional[list[str]],  # noqa: UP045 - Typer reads the annotation at run time
        typer.Option(help="A packed task, or a YAML file; give it again for several. Default: all five."),
    ] = None,
    seed: options.Seed = 0,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    bbox: options.Bbox = None,
    with_imagery: options.WithImagery = False,
    split: Annotated[
        str,
        typer.Option(help="`group`: by zoom-14 block. `random`: tile by tile, only to show how much leakage flatters."),
    ] = "group",
    folds: Annotated[
        int | None, typer.Option("--folds", help="Deal the groups into this many folds, for cross-validation.")
    ] = None,
    buffer: Annotated[
        bool, typer.Option("--buffer", help="Take groups next to a test group out of train and validation.")
    ] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Go on where train, val or test (or a fold) is empty.")
    ] = False,
    analyze: Annotated[
        str | None,
        typer.Option(help="Instead: list the tags that tell most about this task's label, and draw them."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Make labels, splits and masked views.

    Example: geojepa build-tasks --region state-college --task max_speed
    """
    from geojepa_cli.tasks.splits import SplitRule

    filters = Filters(entity_limits(min_entities, max_entities), parse_bbox(bbox), with_imagery)
    settings = Settings(SplitRule(seed, split, folds, buffer), filters)
    workspace = options.workspace(ctx)
    if analyze is not None and task:
        raise UsageError("--analyze looks at one task and builds none", hint=f"geojepa build-tasks --analyze {analyze}")
    specs = find_specs([analyze] if analyze else task)
    regions = workspace.regions("processed", region)
    if analyze is not None:
        analysis = make_analysis(workspace, regions, specs[0], settings)
        if json:
            console.emit_json("build-tasks", analysis.ref, analysis.read_json("analysis.json"))
        else:
            say_analysis(analysis)
        return

    def check(reports: Reports) -> None:
        check_splits(reports, allow_empty)
        warn_of_nothing(reports)

    made = make_tasks(workspace, regions, specs, settings, check)
    if json:
        in_order = [made[region.name][i] for i in range(len(specs)) for region in regions]
        console.emit_json_each(
            "build-tasks", [(artifact.ref, artifact.read_json("report.json")) for artifact in in_order]
        )
    else:
        say([(region, artifact.read_json("report.json")) for region, row in made.items() for artifact in row])
