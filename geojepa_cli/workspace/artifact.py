"""A published artifact: a directory that is only read from now on, with a manifest."""

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
    """A published, read-only directory.

    Attributes:
        kind, name, id: of its directory, `<kind>/<name>@<id>/`.
        path: its directory.
        manifest: the parsed `manifest.json`.
    """

    kind: str
    name: str
    id: str
    path: Path
    manifest: Mapping[str, Any] = field(hash=False)

    @property
    def ref(self) -> str:
        """`name@id`."""
        return f"{self.name}@{self.id}"

    @property
    def full_ref(self) -> str:
        """`kind/name@id`, as manifests name their inputs."""
        return f"{self.kind}/{self.ref}"

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters that decided its content."""
        return self.manifest["parameters"]  # type: ignore[no-any-return]

    @property
    def inputs(self) -> list[str]:
        """Its inputs as `kind/name@id`."""
        return list(self.manifest["inputs"])

    @property
    def counts(self) -> Mapping[str, Any]:
        """Numbers read, kept, and dropped by reason."""
        return _Counts(self.manifest["counts"], self)

    @property
    def attribution(self) -> list[str]:
        """Sources and licences to credit."""
        return list(self.manifest["attribution"])

    def file(self, name: str) -> Path:
        """Returns the path of one of its files.

        Raises:
            DataError: the manifest has none of that name.
        """
        if name not in self.manifest["files"]:
            raise self.broken(f"`{self.path}` has no file `{name}`")
        return self.path / name

    def verified_file(self, name: str) -> Path:
        """Returns the path of one of its files after comparing it with its SHA-256: for small files.

        Raises:
            DataError: it differs; the hint rebuilds the artifact.
        """
        path = self.file(name)
        if file_sha256(path) != self.manifest["files"][name]["sha256"]:
            raise self.broken(f"`{path}` is damaged: its content differs from the checksum in the manifest")
        return path

    def read_json(self, name: str) -> Any:
        """Reads one of its files as JSON, after comparing it with its SHA-256.

        Raises:
            DataError: it differs, or is not JSON; the hint rebuilds the artifact.
        """
        path = self.verified_file(name)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise self.broken(f"`{path}` is not JSON: {error}") from error

    def rebuild_hint(self) -> Hint:
        """Returns the command that makes it again."""
        return rebuild_hint(self.kind, remains_of(self.path, self.manifest))

    def broken(self, message: str) -> DataError:
        """Builds the error for content that cannot be read although every file has the size in the manifest.

        The rebuilding command alone would find the artifact and stop. So the hint removes its manifest first or, where
        the command needs none of its files, all of it.
        """
        again = self.rebuild_hint()
        keep = any(value is not None and str(self.path) in value for _, value in again.options)
        remove = ("rm", str(self.path / MANIFEST)) if keep else ("rm", "-r", str(self.path))
        return DataError(message, again.after(hints.shell(*remove)))

    def verify(self) -> list[str]:
        """Compares every file with its SHA-256 and returns the names of those that differ."""
        return [
            name
            for name, entry in self.manifest["files"].items()
            if not (self.path / name).is_file() or file_sha256(self.path / name) != entry["sha256"]
        ]


class _Counts(dict[str, Any]):
    """Counts of an artifact, whose error for a missing one rebuilds it."""

    def __init__(self, counts: Mapping[str, Any], artifact: Artifact) -> None:
        super().__init__(counts)
        self._artifact = artifact

    def __missing__(self, name: str) -> Any:
        raise self._artifact.broken(f"`{self._artifact.path / MANIFEST}` has no count `{name}`")
