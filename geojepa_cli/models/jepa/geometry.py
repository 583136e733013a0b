"""Comparison of the geometry vectors that a GeoJEPA model needs with those that are available."""

from __future__ import annotations

from geojepa_cli import hints
from geojepa_cli.config.schema import ModelConfig
from geojepa_cli.errors import GeometryMismatchError
from geojepa_cli.store.geometry import GeometryKind


def check_geometry(config: ModelConfig, found: GeometryKind) -> None:
    """Checks that geometry vectors are those that a model reads.

    Args:
        config: architecture of the model.
        found: encoder of the available vectors.

    Raises:
        GeometryMismatchError: encoder, version or width differ.
    """
    version = config.geometry_version or found.version
    wanted = GeometryKind(config.geometry_encoder, version, config.geometry_dim)
    if found == wanted:
        return
    message = f"the model reads geometry vectors of the encoder {wanted}, but the available vectors are of {found}"
    if config.geometry_version is None and found.encoder == wanted.encoder:
        raise GeometryMismatchError(message, hints.again(set={"model.geometry_dim": found.dim}))
    raise GeometryMismatchError(message, hints.run("process", geometry_encoder=wanted.encoder))
