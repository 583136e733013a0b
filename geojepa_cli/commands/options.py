"""Options that several commands share, and the workspace of the running command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geojepa_cli import hints
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.errors import UsageError
from geojepa_cli.native import MAX_THREADS
from geojepa_cli.stages.arguments import check_bbox
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import Bounds


Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region", help="Region to use. Repeat for several regions. Default: the only region in the workspace."
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Model to use: a trained model (`name` or `name@id`), `geojepa-small`, which comes with geojepa, or a "
        "baseline such as `tagpool`. Default: the newest trained model or, if there is none, `geojepa-small`.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Threads = Annotated[int, typer.Option("--threads", help="Number of CPU threads. Does not affect the result.")]
Ray = Annotated[
    bool,
    typer.Option(
        "--ray",
        help="Run on the Ray cluster at the address in RAY_ADDRESS or, if it is not set, with Ray on this computer. "
        "Requires the extra `scale`.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Random seed, 0 or more. Each seed makes a separate artifact.")]
Device = Annotated[
    str, typer.Option("--device", help="Device for the model: `cpu`, `cuda`, or `auto` (CUDA if available).")
]
MinEntities = Annotated[
    int | None,
    typer.Option(
        "--min-entities", help=f"Leave out tiles with fewer entities than this. Default: {DEFAULT_LIMITS.low}."
    ),
]
MaxEntities = Annotated[
    int | None,
    typer.Option(
        "--max-entities", help=f"Leave out tiles with more entities than this. Default: {DEFAULT_LIMITS.high}."
    ),
]
Alpha = Annotated[
    float,
    typer.Option(
        "--alpha",
        help="Shift the embeddings of entities, from 0 (the model's embedding of the entity in its surroundings) to 1 "
        "(its embedding of the entity alone).",
    ),
]
Bbox = Annotated[
    str | None,
    typer.Option("--bbox", help="Use only tiles that intersect this bounding box: `west,south,east,north` in degrees."),
]
WithImagery = Annotated[bool, typer.Option("--with-imagery", help="Use only tiles that have an image.")]


def default_threads() -> int:
    """Returns the default number of threads: the number of CPU cores that this process can use, up to a maximum.

    If `torchrun` started several processes on this computer, they share the cores.
    """
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(max(cores, 1), MAX_THREADS)


def threads_of_worker(workers: int, ray: bool) -> int:
    """Returns the default number of threads of each of several processes that run at the same time.

    Ray runs as many processes as there are cores, so each has one thread.
    """
    return 1 if ray and workers < 2 else max(default_threads() // max(workers, 1), 1)


def workspace(ctx: typer.Context) -> Workspace:
    """Returns the workspace, which is a directory given by `--workspace` or by the variable `GEOJEPA_WORKSPACE`.

    If neither is given, the workspace is the directory `workspace/` in the current directory.

    Raises:
        GeojepaError: the path exists and is not a directory.
    """
    named = os.environ.get(hints.WORKSPACE_VARIABLE) or hints.DEFAULT_WORKSPACE
    return Workspace(ctx.obj if isinstance(ctx.obj, Path) else Path(named))


def parse_bbox(text: str | None) -> Bounds | None:
    """Parses a bounding box given as `west,south,east,north` in degrees.

    Raises:
        UsageError: the text is not four numbers, a number is out of range, or two numbers are in the wrong order.
    """
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        hint = hints.again(bbox="-77.91,40.77,-77.81,40.82")
        raise UsageError(f"`{text}` is not a bounding box; expected `west,south,east,north` in degrees", hint) from None
    return check_bbox((west, south, east, north))


def is_given(ctx: typer.Context, name: str) -> bool:
    """Returns True if a parameter of the running command is on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
