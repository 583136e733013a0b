"""`geojepa embed`: computes embeddings of the tiles and entities of a region."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.counts import print_counts
from geojepa_cli.stages import embeddings
from geojepa_cli.stages.shipped import ref_in
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import inputs_of_kind


@example(model="tiny", region="state-college")
def embed(
    ctx: typer.Context,
    model: options.ModelName = None,
    region: options.Regions = None,
    task: Annotated[str | None, typer.Option("--task", help="Embed only the tiles of this prediction task.")] = None,
    masked: Annotated[
        bool,
        typer.Option("--masked", help="With --task: hide the tags and entities that reveal the label of the task."),
    ] = False,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    alpha: options.Alpha = 0.0,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Compute embeddings of the tiles and map entities of a region."""
    workspace = options.workspace(ctx)
    made = embeddings.embed(
        workspace, model, region, task, masked, min_entities, max_entities, device=device, threads=threads, alpha=alpha
    )
    if json:
        console.emit_json_each("embed", [(artifact.ref, _result(artifact)) for artifact in made])
        return
    for artifact in made:
        print_counts(artifact)


def _result(artifact: Artifact) -> dict[str, Any]:
    (region,) = inputs_of_kind(artifact, "processed")
    models = inputs_of_kind(artifact, "models")  # empty for a shipped model or a baseline
    model = models[0].partition("/")[2] if models else ref_in(artifact.params) or artifact.params["model"]
    return {"model": model, "region": region.partition("/")[2], "counts": artifact.counts}
