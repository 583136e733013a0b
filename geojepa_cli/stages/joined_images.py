"""Finds the `images/` artifact that contains the images of the tiles in a `processed/` artifact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geojepa_cli.errors import NotFoundError
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind


def joined_images(workspace: Workspace, processed: Artifact) -> Artifact | None:
    """Returns the `images/` artifact for the tiles in a `processed/` artifact, or None if there are no images.

    Images that were resampled from scenes must have been made for the same `tiles/` artifact. Images from a folder of
    image tiles must have the same zoom level and the same `source/` artifact, because another source may show another
    place or year. If several artifacts match, returns the newest one that models can read (224 px, RGB), or else the
    newest one.

    Raises:
        DataError: the `images/` artifact to return is damaged.
    """
    tiles = _input(workspace, processed, "tiles")
    if tiles is None:
        return None

    def fits(inputs: list[str], params: Mapping[str, Any]) -> bool:
        if any(ref.startswith("tiles/") for ref in inputs):
            return tiles.full_ref in inputs
        same_source = set(inputs_of_kind(tiles, "source")).intersection(inputs)
        return params.get("zoom") == tiles.params.get("zoom") and bool(same_source)

    def fits_models(inputs: list[str], params: Mapping[str, Any]) -> bool:
        return fits(inputs, params) and not {"image_size", "bands"}.intersection(params)

    found = workspace.newest("images", processed.name, fits_models)
    return found or workspace.newest("images", processed.name, fits)


def _input(workspace: Workspace, artifact: Artifact, kind: str) -> Artifact | None:
    """Returns the artifact of a given kind from which `artifact` was made, or None if it does not exist."""
    for ref in inputs_of_kind(artifact, kind):
        try:
            return workspace.at(ref)
        except NotFoundError:
            return None
    return None
