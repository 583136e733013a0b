"""Comparison of the geometry vectors and image tokens that a GeoJEPA model needs with those that are available."""

from __future__ import annotations

from geojepa_cli import hints
from geojepa_cli.config.schema import ModelConfig
from geojepa_cli.errors import FeatureMismatchError
from geojepa_cli.store.geometry import GeometryKind
from geojepa_cli.store.image_tokens import ImageTokenKind


def check_geometry(config: ModelConfig, found: GeometryKind) -> None:
    """Checks that geometry vectors are those that a model reads.

    Args:
        config: architecture of the model.
        found: encoder of the available vectors.

    Raises:
        FeatureMismatchError: encoder, version or width differ.
    """
    version = config.geometry_version or found.version
    wanted = GeometryKind(config.geometry_encoder, version, config.geometry_dim)
    if found == wanted:
        return
    message = f"the model reads geometry vectors of the encoder {wanted}, but the available vectors are of {found}"
    if config.geometry_version is None and found.encoder == wanted.encoder:
        raise FeatureMismatchError(message, hints.again(set={"model.geometry_dim": found.dim}))
    raise FeatureMismatchError(message, hints.run("process", geometry_encoder=wanted.encoder))


def check_images(config: ModelConfig, found: ImageTokenKind) -> None:
    """Checks that image tokens are those that a model reads.

    Args:
        config: architecture of the model.
        found: encoder of the available tokens.

    Raises:
        FeatureMismatchError: encoder or version differ.
    """
    wanted = ImageTokenKind(config.image_encoder, config.image_version or found.version)
    if found != wanted:
        message = f"the model reads image tokens of {wanted}, but the available tokens are of {found}"
        raise FeatureMismatchError(message, hints.run("process", image_encoder=wanted.encoder))
