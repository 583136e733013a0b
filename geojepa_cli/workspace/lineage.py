"""Lineage: the tree of all artifacts from which an artifact was made, back to the sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from geojepa_cli.errors import GeojepaError
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class Lineage:
    """Node of a lineage tree: an artifact, and the nodes of the artifacts from which it was made.

    Attributes:
        ref: reference to the artifact, `kind/name@id`.
        artifact: the artifact; None if it was deleted or is damaged.
        inputs: nodes of the artifacts from which the artifact was made.
    """

    ref: str
    artifact: Artifact | None
    inputs: tuple[Lineage, ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Lineage]]:
        """Yields pairs (depth, node) for this node and all nodes below it.

        Args:
            depth: depth of this node.
        """
        yield depth, self
        for node in self.inputs:
            yield from node.walk(depth + 1)


def trace(workspace: Workspace, artifact: Artifact) -> Lineage:
    """Returns the lineage tree of an artifact, whose root is this artifact."""
    return Lineage(artifact.full_ref, artifact, tuple(_trace_input(workspace, ref) for ref in artifact.inputs))


def _trace_input(workspace: Workspace, ref: str) -> Lineage:
    try:
        return trace(workspace, workspace.at(ref))
    except GeojepaError:
        return Lineage(ref, None)
