"""`geojepa process`: converts the tiles of a region to model inputs, and computes features of tags and geometry."""

from __future__ import annotations

from typing import Annotated

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.counts import print_counts
from geojepa_cli.stages.features import DEFAULT_ENCODER, tag_features
from geojepa_cli.stages.geometry_features import NO_ENCODER, find_geometry
from geojepa_cli.stages.geometry_source import find_encoder


@example(region="state-college")
def process(
    ctx: typer.Context,
    region: options.Regions = None,
    simplify_m: Annotated[float, typer.Option(help="Tolerance of geometry simplification in metres.")] = 0.5,
    visibility_k: Annotated[
        int,
        typer.Option(
            help="Number of visibility edges per vertex. A visibility edge joins the vertex to one of the nearest "
            "vertices in other lines or rings of the same OSM element. Vertices hidden behind a segment of the element "
            "are not joined."
        ),
    ] = 1,
    text_encoder: Annotated[
        str, typer.Option(help="Encoder for text embeddings of tags: `minilm`, or `none` for no embeddings.")
    ] = DEFAULT_ENCODER,
    geometry_encoder: Annotated[
        str,
        typer.Option(
            help="Encoder for geometry vectors: `fourier`, `polygon_gnn` (the newest trained one, else the one that "
            "comes with geojepa), the name of one, or `none`. `pretrain` and `embed` compute missing vectors."
        ),
    ] = NO_ENCODER,
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Convert the tiles of a region to model inputs."""
    workspace = options.workspace(ctx)
    made = []
    for processed in stages.process(
        workspace, region, simplify_m, visibility_k, text_encoder, geometry_encoder, threads
    ):
        features = None if text_encoder == NO_ENCODER else tag_features(workspace, processed)
        geometry = None
        if geometry_encoder != NO_ENCODER:
            geometry = find_geometry(workspace, processed, find_encoder(workspace, geometry_encoder))
        refs = {"features": features and features.ref, "geometry": geometry and geometry.ref}
        made.append((processed.ref, {"counts": processed.counts, **refs}))
        if not json:
            for artifact in filter(None, (processed, features, geometry)):
                print_counts(artifact)
    if json:
        console.emit_json_each("process", made)
