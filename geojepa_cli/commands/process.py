"""`geojepa process`: converts the tiles of a region to model inputs, such as text embeddings of tags."""

from __future__ import annotations

from typing import Annotated

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.commands.tables.counts import print_counts
from geojepa_cli.config.names import NO_ENCODER
from geojepa_cli.stages.features import DEFAULT_ENCODER, tag_features
from geojepa_cli.stages.geometry_features import find_geometry
from geojepa_cli.stages.geometry_source import find_encoder
from geojepa_cli.stages.image_features import find_image_encoder, find_image_tokens, images_of
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace


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
            help="Encoder for geometry vectors: `fourier`, `polygon_gnn`, `gair`, the name of a trained PolygonGNN or "
            "GAIR model, or `none`. `polygon_gnn` is the newest trained PolygonGNN or, if there is none, the one that "
            "comes with geojepa. `gair` adds what the newest GAIR model reads from the images at the entities. "
            "`pretrain` and `embed` compute missing vectors."
        ),
    ] = NO_ENCODER,
    image_encoder: Annotated[
        str,
        typer.Option(
            help="Frozen encoder that computes image tokens: `vit_b_16`, `resnet50`, `efficientnet_b0`, `scalemae`, "
            "`geoembed`, or `none`. `pretrain` and `embed` compute missing tokens."
        ),
    ] = NO_ENCODER,
    image_weights: Annotated[
        str | None,
        typer.Option(
            help="File with the weights of the image encoder, or `random` for random weights. Default: the file in "
            "torchvision's cache; for `geoembed`, the file in the package geoembed. `scalemae` needs a file."
        ),
    ] = None,
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Convert the tiles of a region to model inputs."""
    workspace = options.workspace(ctx)
    made = []
    encoders = (text_encoder, geometry_encoder, image_encoder, image_weights)
    for processed in stages.process(workspace, region, simplify_m, visibility_k, *encoders, threads):
        found = {
            "features": None if text_encoder == NO_ENCODER else tag_features(workspace, processed),
            "geometry": _geometry(workspace, processed, geometry_encoder),
            "image_tokens": _image_tokens(workspace, processed, image_encoder, image_weights),
        }
        refs = {name: artifact and artifact.ref for name, artifact in found.items()}
        made.append((processed.ref, {"counts": processed.counts, **refs}))
        if not json:
            for artifact in filter(None, (processed, *found.values())):
                print_counts(artifact)
    if json:
        console.emit_json_each("process", made)


def _geometry(workspace: Workspace, processed: Artifact, encoder: str) -> Artifact | None:
    if encoder == NO_ENCODER:
        return None
    return find_geometry(workspace, processed, find_encoder(workspace, encoder))


def _image_tokens(workspace: Workspace, processed: Artifact, encoder: str, weights: str | None) -> Artifact | None:
    if encoder == NO_ENCODER:
        return None
    (images,) = images_of(workspace, [processed])
    return images and find_image_tokens(workspace, images, find_image_encoder(encoder, weights))
