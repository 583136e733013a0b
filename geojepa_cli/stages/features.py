"""Stage `features/`: computes frozen model inputs of a region with text, geometry and image encoders.

There are three types of artifacts: text embeddings of tags, geometry vectors of OSM elements, and image tokens. All
have the kind `features` and the name of the region. Their parameters show the type.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.config.names import NO_ENCODER
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.geometry_features import make_geometry, rebuild_geometry
from geojepa_cli.stages.geometry_source import ENCODER, find_encoder
from geojepa_cli.stages.image_features import (
    IMAGE_ENCODER,
    find_image_encoder,
    images_of,
    make_image_tokens,
    rebuild_image_tokens,
)
from geojepa_cli.stages.processed import DEFAULT_SIMPLIFY_M, DEFAULT_VISIBILITY_K, make_processed
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.rebuild import open_inputs, text
from geojepa_cli.stages.stage import Regions, Stage, as_command, find_regions
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains, rebuild_hint
from geojepa_cli.workspace.workspace import Workspace

FILE = "tags.h5"
DEFAULT_ENCODER = "minilm"


def _rebuild(remains: Remains) -> Hint:
    if ENCODER in remains.params:
        return rebuild_geometry(remains)
    if IMAGE_ENCODER in remains.params:
        return rebuild_image_tokens(remains)
    processed = open_inputs(remains, "processed")
    encoder = text(remains.params.get("encoder"))
    base = processed[0].rebuild_hint() if processed else hints.run("process", region=remains.name)
    return base.adding(text_encoder=None if encoder == DEFAULT_ENCODER else encoder)


FEATURES = Stage(
    "features",
    version=2,
    rebuild=_rebuild,
    made_from="processed",
    of_region=True,
    variant=(ENCODER, IMAGE_ENCODER),
    files=(FILE,),
)


@as_command("process")
def process(
    workspace: Workspace,
    region: Regions = None,
    simplify_m: float = DEFAULT_SIMPLIFY_M,
    visibility_k: int = DEFAULT_VISIBILITY_K,
    text_encoder: str = DEFAULT_ENCODER,
    geometry_encoder: str = NO_ENCODER,
    image_encoder: str = NO_ENCODER,
    image_weights: str | Path | None = None,
    threads: int = 1,
) -> list[Artifact]:
    """Converts the tiles of regions to model inputs, and computes a text embedding for each of their distinct tags.

    Args:
        workspace: workspace to read from and publish to.
        region: names of regions, or `tiles/` artifacts. Default: the only region in the workspace.
        simplify_m: maximum distance between simplified and original geometry, in metres.
        visibility_k: number of visibility edges per vertex. A visibility edge joins a vertex to a near vertex of
            another line or ring of the same OSM element. No segment of the element crosses a visibility edge.
        text_encoder: name of the text encoder. With `none`, no text embeddings are computed.
        geometry_encoder: encoder that computes geometry vectors: `fourier`, `polygon_gnn`, `gair`, or the name of a
            trained PolygonGNN or GAIR model. `polygon_gnn` is the newest PolygonGNN in the workspace or, if there is
            none, the one that comes with the package. `gair` adds the vectors that the newest GAIR model in the
            workspace reads from the images at the entities. `none` computes no vectors now: `pretrain` and `embed` do
            it for models that need them.
        image_encoder: frozen image encoder that computes image tokens, such as `vit_b_16`. `none` computes no tokens.
        image_weights: path of a file with the weights of the image encoder, or `random`. Default: the weights in
            torchvision's cache or, if there are none, those in the package geoembed.
        threads: number of threads; does not affect the result.

    Returns:
        The `processed/` artifact of each region.

    Raises:
        NotFoundError: a region has no `tiles/` artifact, the geometry encoder or the weights of the image encoder do
            not exist, or there are no images to encode.
        UsageError: the text encoder is unknown, or `image_weights` is given without `image_encoder`.
        MissingExtraError: the package of the text encoder or of the image encoder is not installed.
    """
    tiles = find_regions(workspace, "tiles", region)
    check_encoder(text_encoder)
    geometry = None if geometry_encoder == NO_ENCODER else find_encoder(workspace, geometry_encoder)
    pixels = None if image_encoder == NO_ENCODER else find_image_encoder(image_encoder, image_weights)
    if pixels is None and image_weights is not None:
        raise UsageError("`--image-weights` requires `--image-encoder`", hints.again(image_encoder="vit_b_16"))
    made = []
    for one in tiles:
        made.append(make_processed(workspace, one, simplify_m, visibility_k, threads))
        if text_encoder != NO_ENCODER:
            make_features(workspace, made[-1], text_encoder)
        if geometry is not None:
            make_geometry(workspace, made[-1], geometry, threads)
        if pixels is not None:
            (images,) = images_of(workspace, made[-1:])
            assert images is not None
            make_image_tokens(workspace, images, pixels, "auto", threads)
    return made


def tag_features(workspace: Workspace, processed: Artifact) -> Artifact:
    """Returns the newest `features/` artifact with the text embeddings of a region's tags.

    Raises:
        NotFoundError: there is no such artifact. The hint is the command that makes it.
        DataError: the artifact is incomplete or has another schema version.
    """

    def fits(inputs: list[str], params: Mapping[str, Any]) -> bool:
        return processed.full_ref in inputs and ENCODER not in params and IMAGE_ENCODER not in params

    made = workspace.newest("features", processed.name, fits)
    if made is None:
        message = f"there is no features artifact made from `{processed.full_ref}` in `{workspace.root}`"
        raise NotFoundError(message, rebuild_hint("features", Remains(processed.name, workspace=workspace.root)))
    return made


def make_features(workspace: Workspace, processed: Artifact, encoder: str = DEFAULT_ENCODER) -> Artifact:
    """Publishes the artifact `features/<region>` with the file `tags.h5`: a text embedding for each distinct tag.

    Args:
        workspace: workspace to publish to.
        processed: `processed/` artifact of the region.
        encoder: name of the text encoder.

    Raises:
        UsageError: the encoder is unknown.
        MissingExtraError: the package of the encoder is not installed.
    """
    from geojepa_cli.tags.encoder import encoder_identity
    from geojepa_cli.tags.features import write_tag_features

    def write(build: Build) -> Artifact:
        counts = write_tag_features(processed.file(PROCESSED_FILE), build.partial / FILE, encoder)
        return build.publish(counts=counts)

    return FEATURES.make(workspace, processed.name, encoder_identity(encoder), [processed], write)


def check_encoder(encoder: str) -> None:
    """Checks that a text encoder is available. Commands call this before a long computation.

    Raises:
        UsageError: the encoder is unknown.
        MissingExtraError: the package of the encoder is not installed.
    """
    from geojepa_cli.tags.encoder import encoder_identity

    if encoder != NO_ENCODER:
        encoder_identity(encoder)
