"""`geojepa process`: converts the tiles of a region to model inputs, and computes text embeddings of tags."""

from __future__ import annotations

from typing import Annotated

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.counts import print_counts
from geojepa_cli.stages.features import DEFAULT_ENCODER, NO_ENCODER


@example(region="state-college")
def process(
    ctx: typer.Context,
    region: options.Regions = None,
    simplify_m: Annotated[float, typer.Option(help="Tolerance of geometry simplification in metres.")] = 0.5,
    visibility_k: Annotated[
        int,
        typer.Option(
            help="Number of visibility edges per vertex. Such an edge joins two near vertices in different lines or "
            "rings of an OSM element if no segment lies between the vertices."
        ),
    ] = 1,
    text_encoder: Annotated[
        str, typer.Option(help="Encoder for text embeddings of tags: `minilm`, or `none` for no embeddings.")
    ] = DEFAULT_ENCODER,
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Convert the tiles of a region to model inputs."""
    workspace = options.workspace(ctx)
    made = []
    for processed in stages.process(workspace, region, simplify_m, visibility_k, text_encoder, threads):
        features = None
        if text_encoder != NO_ENCODER:
            features = workspace.derived("features", processed.name, processed)
        made.append((processed.ref, {"counts": processed.counts, "features": features and features.ref}))
        if not json:
            for artifact in filter(None, (processed, features)):
                print_counts(artifact)
    if json:
        console.emit_json_each("process", made)
