"""Which image tiles belong to a region's processed tiles: by lineage, never by name and date."""

from __future__ import annotations

from geojepa_cli.errors import NotFoundError
from geojepa_cli.workspace import Artifact, Workspace


def images_of(workspace: Workspace, processed: Artifact) -> Artifact | None:
    """The images of the source and zoom that the processed tiles were made of; None where there are none.

    A region may have images of several zooms and of several sources: `images/R` of another zoom has none of these
    tiles, and of another source they may show another place or year.
    """
    tiles = _input(workspace, processed, "tiles")
    if tiles is None:
        return None
    sources = {ref for ref in tiles.inputs if ref.startswith("source/")}
    zoom = tiles.params.get("zoom")
    found = [
        images
        for images in workspace.artifacts("images", processed.name)
        if images.params.get("zoom") == zoom and sources.intersection(images.inputs)
    ]
    return found[-1] if found else None


def _input(workspace: Workspace, artifact: Artifact, kind: str) -> Artifact | None:
    """The input of a kind; None where there is none, or it was removed."""
    for ref in artifact.inputs:
        if ref.startswith(f"{kind}/"):
            try:
                return workspace.at(ref)
            except NotFoundError:
                return None
    return None
