"""`geojepa artifacts`: what is in the workspace, what it was made of, and what can go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any

import typer

from geojepa_cli import console
from geojepa_cli.commands import options
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import KINDS, Remains, rebuild_hint
from geojepa_cli.workspace.workspace import Workspace


def artifacts(
    ctx: typer.Context,
    lineage: Annotated[
        str | None,
        typer.Option("--lineage", help="Show what `kind/name` was made of, down to the sources."),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its SHA-256.")] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Remove older versions that nothing newer was made of, and leftovers of ended runs."
        ),
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
        console.print_line(f"no artifacts in `{workspace.root}`")
        return
    rows = [(a.kind, a.ref, _shown(size(a)), _variant(a), ", ".join(a.inputs)) for a in found]
    console.table(f"artifacts in {workspace.root}", ["kind", "name@id", "size", "what", "made of"], rows)
    for kind in KINDS:
        for reason in workspace.damaged(kind).values():
            console.warn(f"damaged: {reason}")


def show_lineage(workspace: Workspace, artifact: Artifact, json: bool) -> None:
    """An artifact and, indented below it, all it was made of."""
    if json:
        console.emit_json("artifacts", artifact.ref, _tree(workspace, artifact))
        return
    for depth, node in _walk(workspace, artifact, 0):
        console.print_line("  " * depth + f"{node.kind}/{node.ref}  {_told(node.params)}")


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
        listed = "; ".join(f"`{ref}`: {', '.join(names)}" for ref, names in damaged.items())
        raise DataError(f"files differ from their manifest: {listed}", hint=_mend(workspace, first))
    if not json:
        console.print_line(f"{_counted(len(found), 'artifact')} verified")


def prune_old(workspace: Workspace, yes: bool, json: bool) -> None:
    """Removes versions that are not the newest of their name and that no kept artifact was made of, and leftovers.

    A leftover is what a killed or failed run left in the making; what a running one works on is not touched.
    """
    old, left = prunable(everything(workspace)), workspace.leftovers()
    sizes = {path: _bytes_below(path) for path in left}
    total = sum(size(artifact) for artifact in old) + sum(sizes.values())
    if not json:
        for artifact in old:
            what = _variant(artifact)
            told = f"{artifact.kind}/{artifact.ref}" + (f" ({what})" if what else "")
            console.print_line(f"{told}  {_shown(size(artifact))}")
        for path, held in sizes.items():
            console.print_line(f"{path.parent.name}/{path.name}  {_shown(held)}{_why_kept(path)}")
        if not old and not left:
            console.print_line("nothing to remove")
            return
        leftovers = f" and {_counted(len(left), 'leftover')}" if left else ""
        console.print_line(f"{_counted(len(old), 'artifact')}{leftovers}, {_shown(total)}")
    removed = bool(old or left) and (yes or (not json and _confirmed()))
    if removed:
        for artifact in old:
            workspace.remove(artifact)
        for path in left:
            if not workspace.remove_leftover(path):
                console.warn(f"`{path}` is being worked on again: it stays")
    if json:
        refs = [f"{artifact.kind}/{artifact.ref}" for artifact in old]
        names = [f"{path.parent.name}/{path.name}" for path in left]
        console.emit_json("artifacts", None, {"prunable": refs, "leftovers": names, "bytes": total, "removed": removed})


def prunable(found: Iterable[Artifact]) -> list[Artifact]:
    """Versions older than the newest of their kind, name and variant, unless a newest one was made of them.

    The masked probe of a task is no older version of the plain one, nor are the vectors for one task of another's.
    """
    found = list(found)
    by_ref = {f"{artifact.kind}/{artifact.ref}": artifact for artifact in found}
    newest = {(a.kind, a.name, _variant(a)): a for a in found}  # lists are oldest first
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
    """Parameters in a line: plain values only, a configuration is in the artifact's own files."""
    shown = {key: _plain(value) for key, value in params.items()}
    return shorten(" ".join(f"{key}={value}" for key, value in shown.items() if value), 110, placeholder=" …")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("name", ""))  # of a task; other sections are long
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def _variant(artifact: Artifact) -> str:
    """What sets artifacts of one name apart that are no versions of each other; "" where there is nothing."""
    params = artifact.params
    if artifact.kind in ("tiles", "images"):
        return f"zoom {params['zoom']}" if "zoom" in params else ""
    if artifact.kind == "embeddings":
        return f"{params.get('task') or ''}{', masked' if params.get('masked') else ''}".strip(", ")
    if artifact.kind == "probes":
        return "masked" if params.get("masked") else "plain"
    return "page" if artifact.kind == "neighbours" and params.get("html") else ""


def _mend(workspace: Workspace, ref: str) -> str:
    """The command that makes a damaged artifact anew; where its sizes are right it has to go first."""
    kind, _, rest = ref.partition("/")
    try:
        return workspace.at(ref).broken("").hint or ""
    except DataError:
        return rebuild_hint(kind, Remains(rest.partition("@")[0]))


def _why_kept(path: Path) -> str:
    if not path.name.endswith(".partial"):
        return "  (incomplete)"
    resumable = path.parent.name in ("models", "embeddings")
    return "  (left by an ended run; the same command would go on with it)" if resumable else "  (left by an ended run)"


def _confirmed() -> bool:
    """Asks; an end of the input is no answer."""
    try:
        return typer.confirm("remove them?")
    except typer.Abort:
        console.print_line()
        raise UsageError("no answer, so nothing was removed", hint="geojepa artifacts --prune --yes") from None


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _shown(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
