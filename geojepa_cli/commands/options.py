"""Options that several commands share, and the workspace of the running command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from geojepa_cli.errors import GeojepaError
from geojepa_cli.workspace import Workspace

WORKSPACE_VARIABLE = "GEOJEPA_WORKSPACE"
DEFAULT_WORKSPACE = Path("workspace")

Region = Annotated[str, typer.Option("--region", help="Name of a region in the workspace; `name@id` for one version.")]
Regions = Annotated[
    list[str] | None,
    typer.Option("--region", help="Region in the workspace; give it again for several. Default: the only one."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Name of a model, `name@id`, or `tagpool`. Default: the newest."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads; does not change the result.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed; part of the artifact's id.")]


def default_threads() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0))


def workspace(ctx: typer.Context) -> Workspace:
    """The workspace of the running command: `--workspace`, `GEOJEPA_WORKSPACE`, or `workspace/`.

    Raises:
        GeojepaError: something is there that is no directory.
    """
    root = ctx.obj if isinstance(ctx.obj, Path) else Path(os.environ.get(WORKSPACE_VARIABLE) or DEFAULT_WORKSPACE)
    if root.exists() and not root.is_dir():
        raise GeojepaError(f"the workspace `{root}` is not a directory", hint="geojepa --workspace DIR …")
    return Workspace(root)
