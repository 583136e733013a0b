"""A published artifact: a read-only directory with a manifest."""

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
from geojepa_cli.workspace.manifest import remains_of


@dataclass(frozen=True)
class Artifact:
    """A published, read-only directory.

    Attributes:
        kind, name, id: its place, `<kind>/<name>@<id>/`.
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
        return self.manifest["counts"]  # type: ignore[no-any-return]

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
            raise DataError(f"`{self.path}` has no file `{name}`", self.rebuild_hint())
        return self.path / name

    def verified_file(self, name: str) -> Path:
        """Returns the path of one of its files, once its SHA-256 is compared: for small files.

        Raises:
            DataError: the content is not what was published; the hint rebuilds the artifact.
        """
        path = self.file(name)
        if file_sha256(path) != self.manifest["files"][name]["sha256"]:
            raise self.broken(f"`{path}` is damaged: its content differs from the checksum in the manifest")
        return path

    def read_json(self, name: str) -> Any:
        """Reads one of its files as JSON, and compares its SHA-256.

        Raises:
            DataError: its content is not what was published; the hint rebuilds the artifact.
        """
        try:
            content = json.loads(self.file(name).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise self.broken(f"`{self.path / name}` is not JSON: {error}") from error
        self.verified_file(name)
        return content

    def rebuild_hint(self) -> Hint:
        """Returns the command that makes it again."""
        return rebuild_hint(self.kind, remains_of(self.path, self.manifest))

    def broken(self, message: str) -> DataError:
        """Builds the error for content that cannot be read although every file has the size in the manifest.

        The rebuilding command alone would find the artifact and stop, so the hint removes its manifest or, where the
        command needs none of its files, all of it first.
        """
        again = self.rebuild_hint()
        keep = any(value is not None and str(self.path) in value for _, value in again.options)
        remove = ("rm", str(self.path / "manifest.json")) if keep else ("rm", "-r", str(self.path))
        return DataError(message, again.after(hints.shell(*remove)))

    def verify(self) -> list[str]:
        """Compares every file with its SHA-256 and returns the names of those that differ."""
        return [
            name
            for name, entry in self.manifest["files"].items()
            if not (self.path / name).is_file() or file_sha256(self.path / name) != entry["sha256"]
        ]
