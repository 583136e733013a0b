"""`geojepa embed`: computes embeddings of the tiles and entities of a region."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.counts import print_artifacts, print_counts
from geojepa_cli.stages.shipped import ref_in
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import inputs_of_kind


@example(model="tiny", region="state-college")
@example(model="tiny", all_regions=True, workers=4)
def embed(
    ctx: typer.Context,
    model: options.ModelName = None,
    region: options.Regions = None,
    all_regions: Annotated[bool, typer.Option("--all-regions", help="Embed all regions in the workspace.")] = False,
    task: Annotated[str | None, typer.Option("--task", help="Embed only the tiles of this prediction task.")] = None,
    masked: Annotated[
        bool,
        typer.Option("--masked", help="With --task: hide the tags and entities that reveal the label of the task."),
    ] = False,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    alpha: options.Alpha = 0.0,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            help="Number of processes, which share the regions and the tiles of large regions. Does not affect the "
            "result.",
        ),
    ] = 1,
    ray: options.Ray = False,
    device: options.Device = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            help="Number of CPU threads of each process. Does not affect the result. Default: number of cores / number "
            "of workers; 1 with --ray.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Compute embeddings of the tiles and map entities of one or several regions."""
    workspace = options.workspace(ctx)
    each = options.threads_of_worker(workers, ray) if threads is None else threads
    limits = min_entities, max_entities
    made = stages.embed(workspace, model, region, task, masked, *limits, device, each, alpha, all_regions, workers, ray)
    if json:
        console.emit_json_each("embed", [(artifact.ref, _result(artifact)) for artifact in made])
        return
    if len(made) == 1:
        print_counts(made[0])
    else:
        print_artifacts(made)


def _result(artifact: Artifact) -> dict[str, Any]:
    (region,) = inputs_of_kind(artifact, "processed")
    models = inputs_of_kind(artifact, "models")  # empty for a shipped model or a baseline
    model = models[0].partition("/")[2] if models else ref_in(artifact.params) or artifact.params["model"]
    return {"model": model, "region": region.partition("/")[2], "counts": artifact.counts}
