"""Options that several commands share, and the workspace of the running command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geojepa_cli import hints
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.errors import GeojepaError, UsageError
from geojepa_cli.workspace.workspace import OTHER_WORKSPACE, Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds


Regions = Annotated[
    list[str] | None,
    typer.Option("--region", help="Region in the workspace; repeat it for several. Default: the only one."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Model (`name` or `name@id`) or baseline. Default: the newest model."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads; does not change the result.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed; part of the artifact's id.")]
Device = Annotated[str, typer.Option("--device", help="`cpu`, `cuda`, or `auto`.")]
MinEntities = Annotated[
    int | None,
    typer.Option("--min-entities", min=0, help=f"Leave out tiles with fewer entities. Default: {DEFAULT_LIMITS.low}."),
]
MaxEntities = Annotated[
    int | None,
    typer.Option("--max-entities", min=1, help=f"Leave out tiles with more entities. Default: {DEFAULT_LIMITS.high}."),
]
Bbox = Annotated[
    str | None, typer.Option("--bbox", help="Only tiles that meet this box: west,south,east,north in degrees.")
]
WithImagery = Annotated[bool, typer.Option("--with-imagery", help="Only tiles that have an image.")]


def default_threads() -> int:
    """Returns the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


def workspace(ctx: typer.Context) -> Workspace:
    """Returns the workspace of the running command: `--workspace`, `GEOJEPA_WORKSPACE`, or `workspace/`.

    Raises:
        GeojepaError: the path exists and is not a directory.
    """
    named = os.environ.get(hints.WORKSPACE_VARIABLE) or hints.DEFAULT_WORKSPACE
    root = ctx.obj if isinstance(ctx.obj, Path) else Path(named)
    if root.exists() and not root.is_dir():
        raise GeojepaError(f"the workspace `{root}` is not a directory", OTHER_WORKSPACE)
    return Workspace(root)


def parse_bbox(text: str | None) -> Bounds | None:
    """Parses `west,south,east,north` in degrees.

    Raises:
        UsageError: not four numbers in range and order.
    """
    if text is None:
        return None
    hint = hints.again(bbox="-77.91,40.77,-77.81,40.82")
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"`{text}` is not a bounding box `west,south,east,north`", hint) from None
    if -180 <= east < west <= 180:
        raise UsageError(
            f"`{text}` crosses the antimeridian (take one side of it at a time), or its west and east are exchanged",
            hints.again(bbox=f"{west!r},{south!r},180,{north!r}"),
        )
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise UsageError(f"`{text}` is not a bounding box: west < east and south < north, in degrees", hint)
    return west, south, east, north
