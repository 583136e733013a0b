"""Functions for whole workspaces: list, verify and delete artifacts. They are the Python API of `geojepa artifacts`."""

from __future__ import annotations

from geojepa_cli import console
from geojepa_cli.stages.stage import as_command
from geojepa_cli.workspace import prune as pruning
from geojepa_cli.workspace import verify as verification
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.prune import Pruning
from geojepa_cli.workspace.verify import Damage
from geojepa_cli.workspace.workspace import Workspace


@as_command("artifacts")
def artifacts(workspace: Workspace) -> list[Artifact]:
    """Returns all artifacts of a workspace, in the order in which the stages run. Skips damaged artifacts."""
    return workspace.everything()


@as_command("artifacts")
def verify(workspace: Workspace) -> list[Damage]:
    """Compares every file of all artifacts with the checksum in the manifest of the artifact.

    Returns:
        The damaged artifacts, in the order in which the stages run. The list is empty if nothing is damaged.
    """
    found = workspace.everything()
    with console.progress("verify", len(found)) as meter:
        return verification.verify(workspace, found, meter.update)


@as_command("artifacts")
def prune(workspace: Workspace, unfinished: bool = False) -> Pruning:
    """Deletes old versions of artifacts, and files of interrupted runs.

    Old versions from which the newest artifacts were made are kept. Files that a running process uses are also kept.
    To list the artifacts and files without deleting them, call `geojepa_cli.workspace.prune.plan_pruning`.

    Args:
        workspace: workspace in which to delete.
        unfinished: also delete the files from which an unfinished run can be resumed.

    Returns:
        The artifacts and files that were deleted, and the files of unfinished runs that were kept.
    """
    plan = pruning.plan_pruning(workspace, unfinished)
    used = plan.delete(workspace)
    return Pruning(plan.artifacts, {path: size for path, size in plan.leftovers.items() if path not in used}, plan.kept)
