"""Which image tiles belong to a region's processed tiles: by lineage, never by name and date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geojepa_cli.errors import NotFoundError
from geojepa_cli.workspace import Artifact, Workspace


def images_of(workspace: Workspace, processed: Artifact) -> Artifact | None:
    """The images of the processed tiles, or of their source and zoom; None where there are none. Those that models read
    (224 px, RGB) come before others, however new.

    Scenes are resampled to certain tiles, which are then an input of the images; image tiles as given have a zoom.
    A region may have images of several zooms and of several sources: `images/R` of another zoom has none of these
    tiles, and of another source they may show another place or year.

    Raises:
        DataError: the newest that may belong are damaged.
    """
    tiles = _input(workspace, processed, "tiles")
    if tiles is None:
        return None

    def fits(inputs: list[str], params: Mapping[str, Any]) -> bool:
        if any(ref.startswith("tiles/") for ref in inputs):
            return f"tiles/{tiles.ref}" in inputs
        sources = {ref for ref in tiles.inputs if ref.startswith("source/")}
        return params.get("zoom") == tiles.params.get("zoom") and bool(sources.intersection(inputs))

    def is_read_by_models(inputs: list[str], params: Mapping[str, Any]) -> bool:
        return fits(inputs, params) and not {"image_size", "bands"}.intersection(params)

    of_models = workspace.newest("images", processed.name, is_read_by_models)
    return of_models or workspace.newest("images", processed.name, fits)


def _input(workspace: Workspace, artifact: Artifact, kind: str) -> Artifact | None:
    """The input of a kind; None where there is none, or it was removed."""
    for ref in artifact.inputs:
        if ref.startswith(f"{kind}/"):
            try:
                return workspace.at(ref)
            except NotFoundError:
                return None
    return None
