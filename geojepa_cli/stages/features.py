"""`features/`: everything frozen and costly, computed once per region and encoder: text embeddings of tags."""

from __future__ import annotations

from geojepa_cli import hints
from geojepa_cli.hints import Hint
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import Stage
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

FILE = "tags.h5"


def _rebuild(remains: Remains) -> Hint:
    return hints.run("process", region=remains.name)


FEATURES = Stage("features", version=1, rebuild=_rebuild)


def make_features(workspace: Workspace, processed: Artifact, encoder: str = "minilm") -> Artifact:
    """Publishes `features/<region>`: `tags.h5`, one text embedding per row of the vocabulary.

    Raises:
        MissingExtraError: the encoder's package is not installed.
    """
    from geojepa_cli.tags.encoder import encoder_identity
    from geojepa_cli.tags.features import write_tag_features

    def write(build: Build) -> Artifact:
        counts = write_tag_features(processed.file(PROCESSED_FILE), build.partial / FILE, encoder)
        return build.publish(counts=counts)

    return FEATURES.make(workspace, processed.name, encoder_identity(encoder), [processed], write)
