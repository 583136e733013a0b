"""Finds and deletes what a workspace no longer needs: old artifacts that newer ones replace, and leftovers of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import KINDS
from geojepa_cli.workspace.leftovers import find_leftovers, is_resumable, remove_leftover
from geojepa_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class Pruning:
    """Artifacts and files of a workspace that are no longer needed. Finding them deletes nothing.

    Attributes:
        artifacts: old artifacts that newer ones replace, see `find_prunable`.
        leftovers: files and directories that killed runs left, and the size of each in bytes.
        kept: directories of unfinished runs, which are not deleted because these runs can be resumed, and the size of
            each in bytes.
    """

    artifacts: tuple[Artifact, ...]
    leftovers: Mapping[Path, int]
    kept: Mapping[Path, int]

    @property
    def bytes(self) -> int:
        """Total size of the artifacts and leftovers, in bytes."""
        return sum(artifact.size for artifact in self.artifacts) + sum(self.leftovers.values())

    def delete(self, workspace: Workspace) -> list[Path]:
        """Deletes the artifacts and leftovers.

        Returns:
            The leftovers that were not deleted, because another process now uses them.
        """
        for artifact in self.artifacts:
            workspace.remove(artifact)
        return [path for path in self.leftovers if not remove_leftover(path)]


def plan_pruning(workspace: Workspace, unfinished: bool = False) -> Pruning:
    """Returns the artifacts and files of a workspace that are no longer needed.

    Args:
        workspace: workspace to search.
        unfinished: True to include the files of unfinished runs that can be resumed.
    """
    left = {path: _bytes_below(path) for path in find_leftovers(workspace)}
    kept = {} if unfinished else {path: size for path, size in left.items() if is_resumable(path)}
    old = find_prunable(workspace.everything())
    return Pruning(tuple(old), {path: size for path, size in left.items() if path not in kept}, kept)


def find_prunable(found: Iterable[Artifact]) -> list[Artifact]:
    """Returns the artifacts that are no longer needed, and so can be deleted.

    Of all artifacts with the same kind and name, the newest is needed. Some parameters, such as `masked`, distinguish
    artifacts with the same name (see `Kind.variant`); then, the newest artifact for each value is needed. The artifacts
    from which a needed artifact was made are also needed. All others can be deleted.

    Args:
        found: all artifacts of a workspace. An older artifact must come before newer ones of the same name.
    """
    by_ref = {artifact.full_ref: artifact for artifact in found}
    newest = {(a.kind, a.name, describe_variant(a)): a for a in by_ref.values()}
    kept: set[str] = set()
    waiting = [artifact.full_ref for artifact in newest.values()]
    while waiting:
        ref = waiting.pop()
        if ref not in kept:
            kept.add(ref)
            waiting += by_ref[ref].inputs if ref in by_ref else []
    return [artifact for ref, artifact in by_ref.items() if ref not in kept]


def describe_variant(artifact: Artifact) -> str:
    """Returns the parameters that distinguish artifacts with the same kind and name, such as `max_speed, masked`.

    `Kind.variant` names these parameters. The text is empty if none of them is set.
    """
    values = {name: artifact.params.get(name) for name in KINDS[artifact.kind].variant}
    return ", ".join(_describe_parameter(name, value) for name, value in values.items() if value)


def _bytes_below(path: Path) -> int:
    """Returns the size of a file, or the total size of all files below a directory, in bytes."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _describe_parameter(name: str, value: object) -> str:
    words = name.replace("_", " ")
    return words if value is True else value if isinstance(value, str) else f"{words} {value}"
