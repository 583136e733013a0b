"""Comparison of the tag embeddings of a region with those that a model of the package reads."""

from __future__ import annotations

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.stages.features import FILE as FEATURES_FILE
from geojepa_cli.stages.shipped import ShippedModel
from geojepa_cli.workspace.artifact import Artifact


def check_tags(model: ShippedModel, features: Artifact) -> None:
    """Checks that a shipped model can read the tag embeddings of a region. Accepts any if it reads no tags.

    Args:
        model: shipped model.
        features: `features/` artifact of the region with tag embeddings.

    Raises:
        DataError: the tag embeddings are of another text encoder or have another width.
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
