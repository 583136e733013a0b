"""The image tiles that belong to a region's processed tiles: found by lineage, never by name and date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geojepa_cli.errors import NotFoundError
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind


def joined_images(workspace: Workspace, processed: Artifact) -> Artifact | None:
    """Returns the images of the processed tiles; None where there are none.

    Images that models read (224 px, RGB) are preferred to others, however new those are. Images resampled from scenes
    have their tiles as an input. Image tiles from a folder must have the zoom and a source of the tiles: `images/R` of
    another zoom has none of these tiles, and one of another source may show another place or year.

    Raises:
        DataError: the newest that may belong is damaged.
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
    """Returns the input of a kind; None where there is none, or it was removed."""
    for ref in inputs_of_kind(artifact, kind):
        try:
            return workspace.at(ref)
        except NotFoundError:
            return None
    return None
