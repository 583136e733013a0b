"""`geojepa probe`: measures how well embeddings predict the label of a task, compared with two baselines."""

from __future__ import annotations

from typing import Annotated

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.probe import print_probe
from geojepa_cli.stages.probes import REPORT_FILE


@example(task="max_speed", masked=True)
def probe(
    ctx: typer.Context,
    task: Annotated[str, typer.Option("--task", help="Name of a task that was built by `build-tasks`.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Model to test. Repeat for several models. Default: the newest model or, "
            "if there is none, `geojepa-small`, which comes with geojepa.",
        ),
    ] = None,
    region: options.Regions = None,
    masked: Annotated[
        bool, typer.Option("--masked", help="Hide from the models the tags and entities that reveal the label.")
    ] = False,
    head: Annotated[str, typer.Option(help="Head to train on the embeddings: `linear`, `mlp` or `both`.")] = "both",
    seed: options.Seed = 0,
    without_shared: Annotated[
        bool,
        typer.Option(
            "--without-shared", help="Also test embeddings made without OSM elements that lie in several zoom-14 tiles."
        ),
    ] = False,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Test how well the embeddings of models predict the label of a task. Computes missing embeddings first."""
    workspace = options.workspace(ctx)
    made = stages.probe(workspace, task, model, region, masked, head, seed, without_shared, device, threads)
    report = made.read_json(REPORT_FILE)
    if json:
        console.emit_json("probe", made.ref, report)
    else:
        print_probe(report, made)
