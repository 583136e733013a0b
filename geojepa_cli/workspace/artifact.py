"""Published artifacts: read-only directories with a manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import rebuild_hint
from geojepa_cli.workspace.manifest import MANIFEST, remains_of


@dataclass(frozen=True)
class Artifact:
    """A published artifact: the read-only directory `<kind>/<name>@<id>/`.

    Attributes:
        kind: kind of the artifact, such as `tiles`.
        name: name of the artifact, often the name of its region.
        id: hash of everything that determines the content, 12 hex digits.
        path: path of the directory.
        manifest: parsed `manifest.json`.
    """

    kind: str
    name: str
    id: str
    path: Path
    manifest: Mapping[str, Any] = field(hash=False)

    @property
    def ref(self) -> str:
        """Short reference of the artifact: `name@id`."""
        return f"{self.name}@{self.id}"

    @property
    def full_ref(self) -> str:
        """Full reference of the artifact: `kind/name@id`."""
        return f"{self.kind}/{self.ref}"

    @property
    def size(self) -> int:
        """Total size of the files in bytes."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters from which the artifact was made."""
        return self.manifest["parameters"]  # type: ignore[no-any-return]

    @property
    def inputs(self) -> list[str]:
        """Artifacts from which this one was made, as `kind/name@id`."""
        return list(self.manifest["inputs"])

    @property
    def counts(self) -> Mapping[str, Any]:
        """Counts that the stage reported, such as tiles, entities, and items dropped by reason."""
        return _Counts(self.manifest["counts"], self)

    @property
    def attribution(self) -> list[str]:
        """Attribution lines: data sources and licences to credit."""
        return list(self.manifest["attribution"])

    def file(self, name: str) -> Path:
        """Returns the path of a file of the artifact.

        Raises:
            DataError: the manifest lists no file with this name.
        """
        if name not in self.manifest["files"]:
            raise self.broken(f"`{self.path}` has no file `{name}`")
        return self.path / name

    def verified_file(self, name: str) -> Path:
        """Compares a file with its SHA-256 checksum and returns its path. Reads the whole file.

        Raises:
            DataError: the file differs. The hint is the command that rebuilds the artifact.
        """
        path = self.file(name)
        if file_sha256(path) != self.manifest["files"][name]["sha256"]:
            raise self.broken(f"`{path}` is damaged: its content differs from the checksum in the manifest")
        return path

    def read_json(self, name: str) -> Any:
        """Compares a file with its SHA-256 checksum and parses it as JSON.

        Raises:
            DataError: the file differs, or is not JSON. The hint is the command that rebuilds the artifact.
        """
        path = self.verified_file(name)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise self.broken(f"`{path}` is not JSON: {error}") from error

    def rebuild_hint(self) -> Hint:
        """Returns the command that rebuilds the artifact."""
        return rebuild_hint(self.kind, remains_of(self.path, self.manifest))

    def broken(self, message: str) -> DataError:
        """Returns the error for damaged content, for which every file still has the size in the manifest.

        Running the stage again would find the artifact and skip it. So the hint first deletes the artifact. If the
        command needs a file of the artifact, the hint deletes only the manifest.
        """
        again = self.rebuild_hint()
        keep = any(value is not None and str(self.path) in value for _, value in again.options)
        remove = ("rm", str(self.path / MANIFEST)) if keep else ("rm", "-r", str(self.path))
        return DataError(message, again.after(hints.shell(*remove)))

    def verify(self) -> list[str]:
        """Compares every file with its SHA-256 checksum and returns the names of the files that differ."""
        return [
            name
            for name, entry in self.manifest["files"].items()
            if not (self.path / name).is_file() or file_sha256(self.path / name) != entry["sha256"]
        ]


class _Counts(dict[str, Any]):
    """Counts of an artifact. Reading a missing count raises a `DataError` with a hint that rebuilds the artifact."""

    def __init__(self, counts: Mapping[str, Any], artifact: Artifact) -> None:
        super().__init__(counts)
        self._artifact = artifact

    def __missing__(self, name: str) -> Any:
        raise self._artifact.broken(f"`{self._artifact.path / MANIFEST}` has no count `{name}`")
