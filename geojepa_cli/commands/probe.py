"""`geojepa probe`: how well the vectors of models predict a task, compared with Dummy and TagPool."""

from __future__ import annotations

from typing import Annotated

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.tables.probe import print_probe
from geojepa_cli.stages.probes import REPORT_FILE


def probe(
    ctx: typer.Context,
    task: Annotated[str, typer.Option("--task", help="Name of a task that was built.")],
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Model; repeat it for several. Default: the newest.")
    ] = None,
    region: options.Regions = None,
    masked: Annotated[
        bool, typer.Option("--masked", help="Hide the tags and entities that give the label away.")
    ] = False,
    head: Annotated[str, typer.Option(help="`linear`, `mlp`, or `both`.")] = "both",
    seed: options.Seed = 0,
    without_shared: Annotated[
        bool,
        typer.Option(
            "--without-shared", help="Also test vectors without the entities that train and test tiles may share."
        ),
    ] = False,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Test the vectors of models on a task. Embeds the region first where that was not done yet.

    Example: geojepa probe --task max_speed --masked
    """
    workspace = options.workspace(ctx)
    made = stages.probe(workspace, task, model, region, masked, head, seed, without_shared, device, threads)
    report = made.read_json(REPORT_FILE)
    if json:
        console.emit_json("probe", made.ref, report)
    else:
        print_probe(report, made)
