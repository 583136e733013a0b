"""Stage `features/`: computes a text embedding for each distinct tag of a region."""

from __future__ import annotations

from geojepa_cli import hints
from geojepa_cli.hints import Hint
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.processed import make_processed
from geojepa_cli.stages.stage import Regions, Stage, as_command, find_regions
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

FILE = "tags.h5"
DEFAULT_ENCODER = "minilm"
NO_ENCODER = "none"


def _rebuild(remains: Remains) -> Hint:
    return hints.run("process", region=remains.name)


FEATURES = Stage("features", version=2, rebuild=_rebuild)


@as_command("process")
def process(
    workspace: Workspace,
    region: Regions = None,
    simplify_m: float = 0.5,
    visibility_k: int = 1,
    text_encoder: str = DEFAULT_ENCODER,
    threads: int = 1,
) -> list[Artifact]:
    """Converts the tiles of regions to model inputs, and computes a text embedding for each of their distinct tags.

    Args:
        workspace: workspace to read from and publish to.
        region: names of regions, or `tiles/` artifacts. Default: the only region in the workspace.
        simplify_m: maximum distance between simplified and original geometry, in metres.
        visibility_k: number of visibility edges per vertex. A visibility edge joins a vertex to a near vertex of
            another line or ring of the same OSM element, if no segment lies between the two vertices.
        text_encoder: name of the text encoder. With `none`, no text embeddings are computed.
        threads: number of threads; does not affect the result.

    Returns:
        The `processed/` artifact of each region.

    Raises:
        NotFoundError: a region has no `tiles/` artifact.
        UsageError: the text encoder is unknown.
        MissingExtraError: the package of the text encoder is not installed.
    """
    tiles = find_regions(workspace, "tiles", region)
    check_encoder(text_encoder)
    made = []
    for one in tiles:
        made.append(make_processed(workspace, one, simplify_m, visibility_k, threads))
        if text_encoder != NO_ENCODER:
            make_features(workspace, made[-1], text_encoder)
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
