"""`geojepa artifacts`: lists, verifies and deletes artifacts, and shows the inputs from which an artifact was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any

import typer

from geojepa_cli import console, hints, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.shipped import ref_in
from geojepa_cli.workspace import verify as verification
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.leftovers import PARTIAL, is_resumable
from geojepa_cli.workspace.lineage import Lineage, trace
from geojepa_cli.workspace.lock import LOCK
from geojepa_cli.workspace.prune import Pruning, describe_variant, plan_pruning
from geojepa_cli.workspace.workspace import Workspace


@example(lineage="processed/state-college")
def artifacts(
    ctx: typer.Context,
    lineage: Annotated[
        str | None,
        typer.Option("--lineage", help="Show all direct and indirect inputs of this artifact, given as `kind/name`."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the files of all artifacts with their SHA-256 checksums.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Delete old versions of artifacts, and files left behind by interrupted runs (downloads, temporary "
            "files). Old versions from which the newest artifacts were made are kept. Checkpoints and other files from "
            "which a run can be resumed are kept too, unless --unfinished is given.",
        ),
    ] = False,
    unfinished: Annotated[
        bool,
        typer.Option(
            "--unfinished",
            help="With --prune: also delete checkpoints and other files from which an interrupted run can be resumed.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: delete without asking for confirmation.")] = False,
    json: options.Json = False,
) -> None:
    """List, verify or delete the artifacts in the workspace, or show the inputs of an artifact."""
    check_combination(lineage, {"verify": verify, "prune": prune}, {"unfinished": unfinished, "yes": yes})
    workspace = options.workspace(ctx)
    if lineage is not None:
        show_lineage(trace(workspace, workspace.at(lineage)), json)
    elif verify:
        verify_all(workspace, json)
    elif prune:
        prune_old(workspace, yes, json, unfinished)
    else:
        show_all(workspace, json)


def check_combination(lineage: str | None, modes: Mapping[str, bool], of_prune: Mapping[str, bool]) -> None:
    """Checks that at most one of `--lineage`, `--verify` and `--prune` is given.

    Also checks that options that require `--prune` are given only together with `--prune`.

    Args:
        lineage: value of `--lineage`, or None.
        modes: dict with the keys `verify` and `prune`. The value is True if the option was given.
        of_prune: dict from the name of each option that requires `--prune` to True if the option was given.

    Raises:
        UsageError: two options cannot be combined, or `--prune` is missing.
    """
    given = [*(["lineage"] if lineage is not None else []), *(name for name, is_set in modes.items() if is_set)]
    if len(given) > 1:
        first, second = (hints.run("artifacts", **{name: lineage if name == "lineage" else True}) for name in given[:2])
        raise UsageError(f"`--{given[0]}` cannot be combined with `--{given[1]}`", first.or_else(second))
    for name, is_set in of_prune.items():
        if is_set and not modes["prune"]:
            raise UsageError(f"`--{name}` requires `--prune`", hints.run("artifacts", prune=True, **of_prune))


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
        if node.artifact and (shipped := ref_in(node.artifact.params)):
            console.print_line("  " * (depth + 1) + f"{shipped}  (comes with geojepa)")


def verify_all(workspace: Workspace, json: bool) -> None:
    """Compares the files of all artifacts with their checksums, and prints the number of verified artifacts.

    Raises:
        DataError: a file differs from its checksum. The hint is the command that rebuilds the first damaged artifact.
    """
    damaged, number = stages.verify(workspace), len(workspace.everything())
    if json:
        listed = {damage.ref: list(damage.reasons) for damage in damaged}
        console.emit_json("artifacts", None, {"verified": number, "damaged": listed})
    if damaged:
        text = "; ".join(f"`{damage.ref}`: {', '.join(damage.reasons)}" for damage in damaged)
        raise DataError(f"artifacts are damaged: {text}", damaged[0].hint)
    if not json:
        console.print_line(f"{console.counted(number, 'artifact')} verified")


def prune_old(workspace: Workspace, yes: bool, json: bool, unfinished: bool = False) -> None:
    """Prints what can be deleted, asks for confirmation, and deletes it.

    Args:
        workspace: workspace in which to delete.
        yes: delete without asking for confirmation.
        json: print JSON instead of text. Then nothing is deleted unless `yes` is True.
        unfinished: also delete the files from which an interrupted run can be resumed.
    """
    plan = plan_pruning(workspace, unfinished)
    if not json:
        _list_prunable(plan)
    removed = bool(plan.artifacts or plan.leftovers) and (yes or (not json and _confirmed()))
    for path in plan.delete(workspace) if removed else ():
        console.warn(f"`{path}` was not removed: another process uses it")
    if json:
        refs = [artifact.full_ref for artifact in plan.artifacts]
        names, kept = ([_short(path) for path in paths] for paths in (plan.leftovers, plan.kept))
        found = {"prunable": refs, "leftovers": names, "kept": kept, "bytes": plan.bytes, "removed": removed}
        console.emit_json("artifacts", None, found)


def _list_prunable(plan: Pruning) -> None:
    for artifact in plan.artifacts:
        variant = describe_variant(artifact)
        name = f"{artifact.full_ref} ({variant})" if variant else artifact.full_ref
        console.print_line(f"{name}  {_megabytes(artifact.size)}")
    for path, size in plan.leftovers.items():
        console.print_line(f"{_short(path)}  {_megabytes(size)}  ({_describe_leftover(path)})")
    if not plan.artifacts and not plan.leftovers:
        console.print_line("nothing to remove")
    else:
        leftovers = console.counted(len(plan.leftovers), "leftover")
        more = f" and {leftovers} of interrupted runs" if plan.leftovers else ""
        count = console.counted(len(plan.artifacts), "artifact")
        console.print_line(f"to delete: {count}{more}, {_megabytes(plan.bytes)} in total")
    for path, size in plan.kept.items():
        console.print_line(f"kept: {_short(path)}  {_megabytes(size)}  (unfinished; `--unfinished` deletes it too)")


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
    """Returns the parameters of an artifact as one line of text, cut to 110 characters.

    If a parameter is a task definition, only the name of the task is shown.
    """
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


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
