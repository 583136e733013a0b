"""Published artifacts: read-only directories that contain the files made by a stage, and a manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import DataError, nearest, wrong_argument
from geojepa_cli.hints import Hint
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import KINDS, rebuild_hint
from geojepa_cli.workspace.manifest import MANIFEST, TIMING, remains_of


@dataclass(frozen=True)
class Artifact:
    """A published artifact: the read-only directory `<kind>/<name>@<id>/`.

    Attributes:
        kind: kind of the artifact, such as `tiles`. The folder that contains the artifact has the same name.
        name: name of the artifact, often the name of its region.
        id: 12 hex digits: a hash of kind, parameters, inputs and versions, which determine the content.
        path: path of the artifact's directory.
        manifest: content of `manifest.json`.
    """

    kind: str
    name: str
    id: str
    path: Path
    manifest: Mapping[str, Any] = field(hash=False)

    @property
    def ref(self) -> str:
        """Short reference to the artifact: `name@id`."""
        return f"{self.name}@{self.id}"

    @property
    def full_ref(self) -> str:
        """Full reference to the artifact: `kind/name@id`."""
        return f"{self.kind}/{self.ref}"

    @property
    def size(self) -> int:
        """Total size of the files that the manifest lists, in bytes."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters with which the artifact was made."""
        return self.manifest["parameters"]  # type: ignore[no-any-return]

    @property
    def inputs(self) -> list[str]:
        """References (`kind/name@id`) to the artifacts from which this artifact was made."""
        return list(self.manifest["inputs"])

    @property
    def counts(self) -> Mapping[str, Any]:
        """Counts in the manifest, by name: for example the numbers of tiles, entities and dropped entities."""
        return _Counts(self.manifest["counts"], self)

    @property
    def attribution(self) -> list[str]:
        """Attribution lines: the data sources and licences that users of the artifact must credit."""
        return list(self.manifest["attribution"])

    @property
    def timing(self) -> dict[str, Any]:
        """Content of `timing.json`, which is no part of the id. Empty if it cannot be read."""
        try:
            found = json.loads((self.path / TIMING).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def file(self, name: str) -> Path:
        """Returns the path of one of the artifact's files. Does not check the content of the file.

        Raises:
            UsageError: artifacts of this kind have no file with this name. The message lists the artifact's files.
            DataError: artifacts of this kind have a file with this name, but the manifest does not list it.
        """
        listed = list(self.manifest["files"])
        if isinstance(name, str) and name in listed:
            return self.path / name
        expected = KINDS[self.kind].files
        if name in expected and (not listed or set(expected).intersection(listed)):
            raise self.broken(f"`{self.path}` has no file `{name}`")
        names = ", ".join(f"`{one}`" for one in listed) or "none"
        example = (nearest(name, listed) if isinstance(name, str) else None) or next(iter(listed), "FILE")
        raise wrong_argument("name", name, f"a file of `{self.full_ref}` ({names})", f'"{example}"')

    def verified_file(self, name: str) -> Path:
        """Returns the path of a file after comparing the whole file with its SHA-256 checksum.

        Raises:
            DataError: the file does not match its checksum. The hint is the command that rebuilds the artifact.
        """
        path = self.file(name)
        if file_sha256(path) != self.manifest["files"][name]["sha256"]:
            raise self.broken(f"`{path}` is damaged: its content differs from the checksum in the manifest")
        return path

    def read_json(self, name: str) -> Any:
        """Returns the content of a JSON file after comparing the file with its SHA-256 checksum.

        Raises:
            DataError: the file does not match its checksum, or is not JSON. The hint is the command that rebuilds the
                artifact.
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
        """Returns the error for an artifact with a damaged file, with a hint that deletes and rebuilds the artifact.

        The artifact must be deleted first. Otherwise, the rebuild command would skip the artifact, because the command
        compares only file sizes. If the rebuild command reads a file in the artifact's directory, such as the
        configuration of a model, the hint deletes only `manifest.json`, so that this file is kept.

        Args:
            message: message of the error.
        """
        again = self.rebuild_hint()
        values = (*again.arguments, *(value for _, value in again.options))
        keep = any(value is not None and str(self.path) in value for value in values)
        remove = ("rm", str(self.path / MANIFEST)) if keep else ("rm", "-r", str(self.path))
        first = hints.shell(*remove)
        return DataError(message, again.after(first if again.first is None else again.first.after(first)))

    def verify(self) -> list[str]:
        """Returns the names of the files that are missing or do not match their SHA-256 checksums."""
        return [
            name
            for name, entry in self.manifest["files"].items()
            if not (self.path / name).is_file() or file_sha256(self.path / name) != entry["sha256"]
        ]


class _Counts(dict[str, Any]):
    """Counts of an artifact by name. Reading a missing count raises a `DataError`."""

    def __init__(self, counts: Mapping[str, Any], artifact: Artifact) -> None:
        super().__init__(counts)
        self._artifact = artifact

    def __missing__(self, name: str) -> Any:
        raise self._artifact.broken(f"`{self._artifact.path / MANIFEST}` has no count `{name}`")
