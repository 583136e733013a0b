"""Finds damaged artifacts by comparing their files with the SHA-256 checksums in their manifests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geojepa_cli.hints import Hint
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import KINDS
from geojepa_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class Damage:
    """A damaged artifact, and the reasons why it counts as damaged.

    Attributes:
        ref: reference to the artifact, `kind/name@id`.
        reasons: names of the files that do not match their checksums. If the artifact cannot be opened: the error
            message.
        hint: command that rebuilds the artifact.
    """

    ref: str
    reasons: tuple[str, ...]
    hint: Hint | None


def verify(
    workspace: Workspace, artifacts: Sequence[Artifact], progress: Callable[[int], None] = lambda done: None
) -> list[Damage]:
    """Returns the damaged artifacts of a workspace, in the order in which the stages run.

    Args:
        workspace: workspace to verify. All artifacts in the workspace that cannot be opened count as damaged.
        artifacts: artifacts whose files are compared with their checksums.
        progress: function that is called after each comparison, with the number of artifacts compared so far.
    """
    found = find_unreadable(workspace)
    for done, artifact in enumerate(artifacts, start=1):
        if names := artifact.verify():
            found.append(Damage(artifact.full_ref, tuple(names), artifact.broken("").hint))
        progress(done)
    order = list(KINDS)
    return sorted(found, key=lambda damage: (order.index(damage.ref.partition("/")[0]), damage.ref))


def find_unreadable(workspace: Workspace) -> list[Damage]:
    """Returns the artifacts of a workspace that cannot be opened. Does not compare checksums."""
    return [
        Damage(ref, (error.message,), error.hint) for kind in KINDS for ref, error in workspace.damaged(kind).items()
    ]
