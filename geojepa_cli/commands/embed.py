"""`geojepa embed`: the vectors of a region's tiles and entities by one model."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.embeddings import find_model, find_task_artifact, make_embeddings
from geojepa_cli.stages.entity_limits import entity_limits

if TYPE_CHECKING:
    pass


def embed(
    ctx: typer.Context,
    model: options.Model = None,
    region: options.Regions = None,
    task: Annotated[str | None, typer.Option("--task", help="Embed the tiles of this task.")] = None,
    masked: Annotated[bool, typer.Option("--masked", help="With --task: hide what the task asks for.")] = False,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, or `auto`.")] = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Embed the tiles and entities of a region.

    Example: geojepa embed --model tiny --region state-college
    """
    if masked and task is None:
        raise UsageError(
            "--masked hides what a task asks for, so it needs one", "geojepa embed --task max_speed --masked"
        )
    if task is not None and (min_entities is not None or max_entities is not None):
        raise UsageError(
            "--task embeds the tiles of the task, which has limits of its own",
            f"geojepa build-tasks --task {shlex.quote(task)} --min-entities … --max-entities …",
        )
    limits = entity_limits(min_entities, max_entities)
    check_device(device)
    workspace = options.workspace(ctx)
    chosen = find_model(workspace, model)
    made = []
    for processed in workspace.regions("processed", region):
        of_task = find_task_artifact(workspace, processed, task) if task else None
        artifact = make_embeddings(workspace, chosen, processed, of_task, masked, device, threads, limits)
        counts = artifact.manifest["counts"]
        made.append((artifact.ref, {"model": chosen.ref, "region": processed.ref, "counts": counts}))
        if not json:
            rows = [(name, f"{value:,}") for name, value in counts.items()]
            console.table(f"embeddings/{artifact.ref}", ["", "count"], rows, caption=str(artifact.path))
    if json:
        console.emit_json_each("embed", made)
