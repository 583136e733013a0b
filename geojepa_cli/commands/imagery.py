"""Which image tiles belong to a region's processed tiles: by lineage, never by name and date."""

from __future__ import annotations

from geojepa_cli.errors import NotFoundError
from geojepa_cli.workspace import Artifact, Workspace


def images_of(workspace: Workspace, processed: Artifact) -> Artifact | None:
    """The images of the processed tiles, or of their source and zoom; None where there are none.

    Scenes are resampled to certain tiles, which are then an input of the images; image tiles as given have a zoom.
    A region may have images of several zooms and of several sources: `images/R` of another zoom has none of these
    tiles, and of another source they may show another place or year.
    """
    tiles = _input(workspace, processed, "tiles")
    if tiles is None:
        return None
    found = [images for images in workspace.artifacts("images", processed.name) if _fits(images, tiles)]
    return found[-1] if found else None


def _fits(images: Artifact, tiles: Artifact) -> bool:
    if any(ref.startswith("tiles/") for ref in images.inputs):
        return f"tiles/{tiles.ref}" in images.inputs
    sources = {ref for ref in tiles.inputs if ref.startswith("source/")}
    return images.params.get("zoom") == tiles.params.get("zoom") and bool(sources.intersection(images.inputs))


def _input(workspace: Workspace, artifact: Artifact, kind: str) -> Artifact | None:
    """The input of a kind; None where there is none, or it was removed."""
    for ref in artifact.inputs:
        if ref.startswith(f"{kind}/"):
            try:
                return workspace.at(ref)
            except NotFoundError:
                return None
    return None
