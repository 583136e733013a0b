"""`geojepa artifacts`: what is in the workspace, what it was made of, and what can go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.errors import DataError
from geojepa_cli.workspace import KINDS, Artifact, Workspace, remake_hint


def artifacts(
    ctx: typer.Context,
    lineage: Annotated[
        str | None,
        typer.Option("--lineage", help="Show what `kind/name` was made of, down to the sources."),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its SHA-256.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove older versions that nothing newer was made of.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: remove without asking.")] = False,
    json: options.Json = False,
) -> None:
    """List, trace, verify and prune the workspace's artifacts.

    Example: geojepa artifacts --lineage processed/state-college
    """
    workspace = options.workspace(ctx)
    if lineage:
        show_lineage(workspace, workspace.at(lineage), json)
    elif verify:
        verify_all(workspace, json)
    elif prune:
        prune_old(workspace, yes, json)
    else:
        show_all(workspace, json)


def everything(workspace: Workspace) -> list[Artifact]:
    """Every artifact, kind by kind in the order of the pipeline."""
    return [artifact for kind in KINDS for artifact in workspace.artifacts(kind)]


def size(artifact: Artifact) -> int:
    """Bytes of its files."""
    return sum(entry["bytes"] for entry in artifact.manifest["files"].values())


def show_all(workspace: Workspace, json: bool) -> None:
    """The list."""
    found = everything(workspace)
    if json:
        console.emit_json("artifacts", None, [_summary(artifact) for artifact in found])
        return
    if not found:
        console.say(f"no artifacts in `{workspace.root}`")
        return
    rows = [(a.kind, a.ref, f"{size(a) / 1e6:,.1f}", ", ".join(a.inputs)) for a in found]
    console.table(f"artifacts in {workspace.root}", ["kind", "name@id", "MB", "made of"], rows)


def show_lineage(workspace: Workspace, artifact: Artifact, json: bool) -> None:
    """An artifact and, indented below it, all it was made of."""
    if json:
        console.emit_json("artifacts", artifact.ref, _tree(workspace, artifact))
        return
    for depth, node in _walk(workspace, artifact, 0):
        console.say("  " * depth + f"{node.kind}/{node.ref}  {_told(node.params)}")


def verify_all(workspace: Workspace, json: bool) -> None:
    """Recomputes every checksum.

    Raises:
        DataError: a file differs; the hint remakes the first such artifact.
    """
    found = everything(workspace)
    damaged = {ref: [reason] for kind in KINDS for ref, reason in workspace.damaged(kind).items()}
    with console.progress("verify", len(found)) as meter:
        for done, artifact in enumerate(found):
            names = artifact.verify()
            if names:
                damaged[f"{artifact.kind}/{artifact.ref}"] = names
            meter.update(done + 1)
    if json:
        console.emit_json("artifacts", None, {"verified": len(found), "damaged": damaged})
    if damaged:
        first = next(iter(damaged))
        kind, _, ref = first.partition("/")
        listed = "; ".join(f"`{ref}`: {', '.join(names)}" for ref, names in damaged.items())
        raise DataError(f"files differ from their manifest: {listed}", hint=remake_hint(kind, ref.partition("@")[0]))
    if not json:
        console.say(f"{len(found)} artifacts verified")


def prune_old(workspace: Workspace, yes: bool, json: bool) -> None:
    """Removes versions that are not the newest of their name and that no kept artifact was made of."""
    old = prunable(everything(workspace))
    total = sum(size(artifact) for artifact in old)
    if not json:
        for artifact in old:
            console.say(f"{artifact.kind}/{artifact.ref}  {size(artifact) / 1e6:,.1f} MB")
        console.say(f"{len(old)} artifacts, {total / 1e6:,.1f} MB")
    removed = bool(old) and (yes or (not json and typer.confirm("remove them?")))
    if removed:
        for artifact in old:
            workspace.remove(artifact)
    if json:
        refs = [f"{artifact.kind}/{artifact.ref}" for artifact in old]
        console.emit_json("artifacts", None, {"prunable": refs, "bytes": total, "removed": removed})


def prunable(found: Iterable[Artifact]) -> list[Artifact]:
    """Versions older than the newest of their kind and name, unless a newest one was made of them."""
    found = list(found)
    by_ref = {f"{artifact.kind}/{artifact.ref}": artifact for artifact in found}
    newest = {(artifact.kind, artifact.name): artifact for artifact in found}  # lists are oldest first
    kept: set[str] = set()
    waiting = [f"{artifact.kind}/{artifact.ref}" for artifact in newest.values()]
    while waiting:
        ref = waiting.pop()
        if ref not in kept:
            kept.add(ref)
            waiting += by_ref[ref].inputs if ref in by_ref else []
    return [artifact for ref, artifact in by_ref.items() if ref not in kept]


def _walk(workspace: Workspace, artifact: Artifact, depth: int) -> Iterable[tuple[int, Artifact]]:
    yield depth, artifact
    for ref in artifact.inputs:
        yield from _walk(workspace, workspace.at(ref), depth + 1)


def _tree(workspace: Workspace, artifact: Artifact) -> dict[str, Any]:
    made_of = [_tree(workspace, workspace.at(ref)) for ref in artifact.inputs]
    return {**_summary(artifact), "parameters": dict(artifact.params), "made_of": made_of}


def _summary(artifact: Artifact) -> dict[str, Any]:
    return {"kind": artifact.kind, "ref": artifact.ref, "bytes": size(artifact), "inputs": artifact.inputs}


def _told(params: Any) -> str:
    return " ".join(f"{key}={value}" for key, value in params.items() if value not in (None, [], {}))[:100]
