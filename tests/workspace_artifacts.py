"""Small artifacts of any kind, for tests of the workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geojepa_cli.stages  # noqa: F401 - registers the kinds of artifact
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.manifest import MANIFEST
from geojepa_cli.workspace.workspace import Workspace


def publish(
    workspace: Workspace, kind: str = "source", name: str = "r", inputs: tuple[Artifact, ...] = (), **params: object
) -> Artifact:
    """Publishes an artifact whose file `data` holds its parameters as JSON, or returns the existing one."""
    with workspace.build(kind, name, params, inputs) as build:
        if build.existing:
            return build.existing
        (build.partial / "data").write_bytes(json.dumps(params).encode())
        return build.publish(counts={"rows": 1}, attribution=[f"made for {kind}"])


def rewrite_manifest(path: Path, **changes: Any) -> None:
    """Replaces entries of the manifest in an artifact's directory."""
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | changes))


def hint_text(error: Any) -> str:
    """The hint of an error as a person sees it."""
    return str(error.hint)
