"""Finds the images of processed tiles by lineage, that is, by the artifacts from which both were made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geojepa_cli.errors import NotFoundError
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind


def joined_images(workspace: Workspace, processed: Artifact) -> Artifact | None:
    """Returns the `images/` artifact for processed tiles, or None if there is none.

    Images resampled from scenes match if they were made for the same `tiles/` artifact. Image tiles from a folder match
    if they have the same zoom and the same source: another source may show another place or year. The newest match is
    returned, but images of the size and bands that models read (224 px, RGB) come first.

    Raises:
        DataError: the newest match is damaged.
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
    """Returns the input that has the given kind, or None if there is no such input or it was removed."""
    for ref in inputs_of_kind(artifact, kind):
        try:
            return workspace.at(ref)
        except NotFoundError:
            return None
    return None
