"""Checks that a region has the inputs of a model that comes with geojepa, such as tag embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from geojepa_cli import hints
from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.stages.features import FILE as FEATURES_FILE
from geojepa_cli.stages.features import tag_features
from geojepa_cli.stages.shipped import ShippedModel
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace


class Reader(Protocol):
    """Interface of models that find their inputs in a workspace."""

    def tag_features(self, workspace: Workspace, processed: Artifact) -> object:
        """Returns the tag embeddings of a region. Raises an error if the model cannot read them."""

    def geometry(self, workspace: Workspace, processed: Artifact) -> object:
        """Returns the geometry encoder whose vectors the model reads. Raises an error if it does not exist."""


def check_tags(model: ShippedModel, features: Artifact) -> None:
    """Checks that a shipped model can read the tag embeddings of a region. Does nothing if the model reads no tags.

    Args:
        model: shipped model.
        features: `features/` artifact of the region with tag embeddings.

    Raises:
        DataError: the tag embeddings are of another text encoder or have another length.
    """
    from geojepa_cli.config.schema import PretrainConfig
    from geojepa_cli.store.features import tag_encoder

    config = model.config
    if not isinstance(config, PretrainConfig):
        return
    found = tag_encoder(features.file(FEATURES_FILE), features.rebuild_hint())
    wanted = (model.header.text_encoder, config.model.tag_dim)
    if found != wanted:
        raise DataError(
            f"the tag embeddings of `{features.name}` are of the text encoder `{found[0]}` ({found[1]} values); "
            f"`{model.name}` reads `{wanted[0]}` ({wanted[1]} values)",
            hints.again(model="tagpool"),
        )


def find_obstacle(workspace: Workspace, model: Reader, regions: Sequence[Artifact]) -> str | None:
    """Returns the reason why a shipped model cannot embed one of the regions, or None if it can embed all of them."""
    for processed in regions:
        try:
            tag_features(workspace, processed)
        except GeojepaError:  # no model can embed this region; the command reports the error
            continue
        try:
            model.tag_features(workspace, processed)
            model.geometry(workspace, processed)
        except GeojepaError as error:
            return error.message
    return None
