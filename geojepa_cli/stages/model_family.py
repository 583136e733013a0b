"""Finds models by the architecture in the parameters of their artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geojepa_cli import console
from geojepa_cli.errors import NotFoundError
from geojepa_cli.hints import Hint
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

GAIR = "gair"


def has_family(params: Mapping[str, Any], family: str) -> bool:
    """Returns True if the parameters of a `models/` artifact are those of a model of an architecture."""
    config = params.get("config")
    return isinstance(config, Mapping) and config.get("family") == family


def newest_gair(workspace: Workspace, train: Hint) -> Artifact:
    """Returns the newest GAIR model of a workspace, and prints its name.

    Args:
        workspace: workspace to search.
        train: command that trains one, for the error message.

    Raises:
        NotFoundError: there is no such model.
    """
    newest = workspace.newest("models", None, lambda inputs, params: has_family(params, GAIR))
    if newest is None:
        message = f"there is no GAIR model in `{workspace.root}`: expected a model that reads images at points"
        raise NotFoundError(message, train)
    console.note(f"using the model {newest.ref}, the newest GAIR model in `{workspace.root}`")
    return newest
