"""Finds the `images/` artifact that contains the images of the tiles in a `processed/` artifact."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from geojepa_cli.errors import GeojepaError, NotFoundError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.rebuild import open_inputs
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind


def joined_images(workspace: Workspace, processed: Artifact) -> Artifact | None:
    """Returns the `images/` artifact for the tiles in a `processed/` artifact, or None if there are no images.

    The `processed/` artifact was made from a `tiles/` artifact. There are three types of `images/` artifacts:

    - Images that were resampled from scenes are used only with the `tiles/` artifact for which they were made.
    - Images that were drawn from the map are used only with the `tiles/` artifact from which they were drawn.
    - Images from a folder of image tiles are used only with a `tiles/` artifact that has the same zoom level and was
      made from the same `source/` artifact. Images from another source may show another place or year.

    If several `images/` artifacts can be used, returns the newest one that models can read (224 px, RGB). If models can
    read none of them, returns the newest one.

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


def with_same_images(remains: Remains, hint: Hint) -> Hint:
    """Returns a hint that rebuilds an artifact with the images with which it was made.

    Commands read the newest images of a region. If these are other images now, the returned hint first runs `tile`,
    which makes the right images the newest ones.

    Args:
        remains: known facts about the artifact to rebuild.
        hint: command that rebuilds the artifact with the newest images.
    """
    if remains.root is None:
        return hint
    workspace = Workspace(remains.root)
    made: list[Artifact | Remains] = [remains, *open_inputs(remains, "embeddings")]
    wanted = {ref for one in made for ref in inputs_of_kind(one, "images")}
    first: Hint | None = None
    for processed in open_inputs(remains, "processed") if wanted else ():
        with contextlib.suppress(GeojepaError):
            used = joined_images(workspace, processed)
            if used is None or used.full_ref in wanted:
                continue
            for right in workspace.artifacts("images", processed.name):
                if right.full_ref in wanted:
                    again = right.rebuild_hint()
                    first = again if first is None else again.after(first)
    return hint if first is None else hint.after(first)


def _input(workspace: Workspace, artifact: Artifact, kind: str) -> Artifact | None:
    """Returns the artifact of a given kind from which `artifact` was made. None if it no longer exists."""
    for ref in inputs_of_kind(artifact, kind):
        try:
            return workspace.at(ref)
        except NotFoundError:
            return None
    return None
