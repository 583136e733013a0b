"""Verification: every file of a workspace compared with its SHA-256."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geojepa_cli.hints import Hint
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import KINDS
from geojepa_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class Damage:
    """A damaged artifact.

    Attributes:
        ref: `kind/name@id`.
        reasons: names of the files that differ, or why it cannot be opened.
        hint: the command that makes it again.
    """

    ref: str
    reasons: tuple[str, ...]
    hint: Hint | None


def verify(
    workspace: Workspace, artifacts: Sequence[Artifact], progress: Callable[[int], None] = lambda done: None
) -> list[Damage]:
    """Returns every damaged artifact of a workspace, in the order of the stages.

    Args:
        workspace: whose artifacts that cannot be opened are damaged too.
        artifacts: to compare with their checksums.
        progress: called with the number of artifacts compared so far.
    """
    found = find_unreadable(workspace)
    for done, artifact in enumerate(artifacts, start=1):
        if names := artifact.verify():
            found.append(Damage(artifact.full_ref, tuple(names), artifact.broken("").hint))
        progress(done)
    order = list(KINDS)
    return sorted(found, key=lambda damage: (order.index(damage.ref.partition("/")[0]), damage.ref))


def find_unreadable(workspace: Workspace) -> list[Damage]:
    """Returns the artifacts that cannot be opened, without comparing checksums."""
    return [
        Damage(ref, (error.message,), error.hint) for kind in KINDS for ref, error in workspace.damaged(kind).items()
    ]
