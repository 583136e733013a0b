"""`geojepa artifacts`: lists, verifies and deletes artifacts, and shows the inputs from which an artifact was made."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any

import typer

from geojepa_cli import console, hints
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.workspace import verify as verification
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.leftovers import PARTIAL, find_leftovers, is_resumable, remove_leftover
from geojepa_cli.workspace.lineage import Lineage, trace
from geojepa_cli.workspace.lock import LOCK
from geojepa_cli.workspace.prune import describe_variant, find_prunable
from geojepa_cli.workspace.workspace import Workspace


@example(lineage="processed/state-college")
def artifacts(
    ctx: typer.Context,
    lineage: Annotated[
        str | None,
        typer.Option("--lineage", help="Show all direct and indirect inputs of this artifact, given as `kind/name`."),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare all files with their SHA-256 checksums.")] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Delete old versions of artifacts, and files of interrupted runs. Keeps old versions from which the "
            "newest artifacts were made, and files from which a run can be resumed.",
        ),
    ] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="With --prune: also delete the files of unfinished runs.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: delete without asking for confirmation.")] = False,
    json: options.Json = False,
) -> None:
    """List, verify or delete the artifacts in the workspace, or show the inputs of an artifact."""
    workspace = options.workspace(ctx)
    if lineage:
        show_lineage(trace(workspace, workspace.at(lineage)), json)
    elif verify:
        verify_all(workspace, json)
    elif prune:
        prune_old(workspace, yes, json, unfinished)
    else:
        show_all(workspace, json)


def show_all(workspace: Workspace, json: bool) -> None:
    """Prints a list of all artifacts in the workspace, and a warning for each damaged artifact."""
    found = workspace.everything()
    if json:
        console.emit_json("artifacts", None, [_summary(artifact) for artifact in found])
    elif found:
        rows = [(a.kind, a.ref, _megabytes(a.size), describe_variant(a), ", ".join(a.inputs)) for a in found]
        columns = ["kind", "name@id", "size", "variant", "made from"]
        console.table(f"artifacts in {workspace.root}", columns, rows)
    else:
        console.print_line(f"no artifacts in `{workspace.root}`")
    for damage in verification.find_unreadable(workspace):
        console.warn(f"`{damage.ref}` is damaged: {'; '.join(damage.reasons)}", damage.hint)


def show_lineage(root: Lineage, json: bool) -> None:
    """Prints an artifact and all its direct and indirect inputs as an indented tree."""
    if json:
        ref = root.artifact.ref if root.artifact else root.ref
        console.emit_json("artifacts", ref, _tree(root))
        return
    for depth, node in root.walk():
        what = _one_line(node.artifact.params) if node.artifact else "(removed or damaged)"
        console.print_line("  " * depth + f"{node.ref}  {what}")


def verify_all(workspace: Workspace, json: bool) -> None:
    """Compares every file of all artifacts with the checksum in the manifest of the artifact.

    Raises:
        DataError: a file differs from its checksum. The hint is the command that rebuilds the first damaged artifact.
    """
    found = workspace.everything()
    with console.progress("verify", len(found)) as meter:
        damaged = verification.verify(workspace, found, meter.update)
    if json:
        listed = {damage.ref: list(damage.reasons) for damage in damaged}
        console.emit_json("artifacts", None, {"verified": len(found), "damaged": listed})
    if damaged:
        text = "; ".join(f"`{damage.ref}`: {', '.join(damage.reasons)}" for damage in damaged)
        raise DataError(f"artifacts are damaged: {text}", damaged[0].hint)
    if not json:
        console.print_line(f"{console.counted(len(found), 'artifact')} verified")


def prune_old(workspace: Workspace, yes: bool, json: bool, unfinished: bool = False) -> None:
    """Deletes old versions of artifacts, and files of interrupted runs.

    Old versions from which the newest artifacts were made are kept. Files that a running process uses are also kept.

    Args:
        workspace: workspace in which to delete.
        yes: delete without asking for confirmation.
        json: print JSON instead of text. Then nothing is deleted unless `yes` is True.
        unfinished: also delete the files from which an unfinished run can be resumed.
    """
    old, left = find_prunable(workspace.everything()), find_leftovers(workspace)
    kept = [] if unfinished else [path for path in left if is_resumable(path)]
    left = [path for path in left if path not in kept]
    sizes = {path: _bytes_below(path) for path in left}
    total = sum(artifact.size for artifact in old) + sum(sizes.values())
    if not json:
        _list_prunable(old, sizes, total)
        for path in kept:
            size = _megabytes(_bytes_below(path))
            console.print_line(f"kept: {_short(path)}  {size}  (unfinished; `--unfinished` deletes it too)")
    removed = bool(old or left) and (yes or (not json and _confirmed()))
    if removed:
        for artifact in old:
            workspace.remove(artifact)
        for path in left:
            if not remove_leftover(path):
                console.warn(f"`{path}` was not removed: another process uses it")
    if json:
        refs = [artifact.full_ref for artifact in old]
        names, unfinished_runs = ([_short(path) for path in paths] for paths in (left, kept))
        found = {"prunable": refs, "leftovers": names, "kept": unfinished_runs, "bytes": total, "removed": removed}
        console.emit_json("artifacts", None, found)


def _list_prunable(old: list[Artifact], sizes: dict[Path, int], total: int) -> None:
    for artifact in old:
        variant = describe_variant(artifact)
        name = f"{artifact.full_ref} ({variant})" if variant else artifact.full_ref
        console.print_line(f"{name}  {_megabytes(artifact.size)}")
    for path, held in sizes.items():
        console.print_line(f"{_short(path)}  {_megabytes(held)}  ({_describe_leftover(path)})")
    if not old and not sizes:
        console.print_line("nothing to remove")
        return
    leftovers = f" and {console.counted(len(sizes), 'leftover')}" if sizes else ""
    console.print_line(f"{console.counted(len(old), 'artifact')}{leftovers}, {_megabytes(total)}")


def _describe_leftover(path: Path) -> str:
    if path.suffix == LOCK:
        return "lock of a killed run"
    if not path.name.endswith(PARTIAL):
        return "incomplete"
    return "unfinished; the same command would resume it" if is_resumable(path) else "left by a killed run"


def _tree(node: Lineage) -> dict[str, Any]:
    if node.artifact is None:
        return {"ref": node.ref, "missing": True}
    made_of = [_tree(child) for child in node.inputs]
    return {**_summary(node.artifact), "parameters": dict(node.artifact.params), "made_of": made_of}


def _summary(artifact: Artifact) -> dict[str, Any]:
    return {"kind": artifact.kind, "ref": artifact.ref, "bytes": artifact.size, "inputs": artifact.inputs}


def _one_line(params: Any) -> str:
    """Returns the parameters of an artifact as one line of text. For a task definition, the line has only its name."""
    shown = {key: _plain(value) for key, value in params.items()}
    return shorten(" ".join(f"{key}={value}" for key, value in shown.items() if value), 110, placeholder=" …")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("name", ""))  # the definition of a task
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def _confirmed() -> bool:
    """Asks on the terminal whether to delete the listed files, and returns the answer.

    Raises:
        UsageError: stdin ended without an answer.
    """
    try:
        return typer.confirm("remove them?")
    except typer.Abort:
        console.print_line()
        raise UsageError("no answer, so nothing was removed", hints.again(yes=True)) from None


def _bytes_below(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
