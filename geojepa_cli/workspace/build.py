"""Building of artifacts: a stage writes files to a temporary directory. Publishing renames this directory."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from geojepa_cli import __version__
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.durable import file_sha256, fsync, write_durably
from geojepa_cli.workspace.manifest import MANIFEST, MANIFEST_SCHEMA, TIMING, identity_hash, mark_newest


class Build:
    """An artifact that is being built. `Workspace.build` creates instances.

    Attributes:
        existing: the published artifact, if it already exists and does not have to be built; otherwise None.
        partial: temporary directory to which the stage writes the files of the artifact.
        id: id of the artifact.
        path: final directory of the artifact; publishing renames `partial` to it.
    """

    def __init__(self, root: Path, kind: str, name: str, identity: dict[str, Any], inputs: Sequence[Artifact]) -> None:
        self._kind, self._name, self._identity, self._inputs = kind, name, identity, inputs
        self.id = identity_hash(identity)
        self.path = root / kind / f"{name}@{self.id}"
        self.partial = self.path.with_name(self.path.name + ".partial")
        self.existing: Artifact | None = None
        self._started = time.time()

    def publish(
        self,
        counts: Mapping[str, Any] | None = None,
        attribution: Sequence[str] = (),
        extra: Mapping[str, Any] | None = None,
        timing: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Publishes the artifact: flushes its files to disk, writes the manifest, and renames the directory.

        Args:
            counts: counts for the manifest, such as the number of tiles, of entities, and of dropped entities.
            attribution: attribution lines to add to the attribution lines of the inputs.
            extra: additional entries of the manifest, such as `units`, `crs` or `seed`.
            timing: additional entries of `timing.json`, such as the number of tokens per second.

        Returns:
            The published artifact.
        """
        manifest = {
            "manifest_schema": MANIFEST_SCHEMA,
            "kind": self._kind,
            "name": self._name,
            "id": self.id,
            "schema": self._identity["schema"],
            "stage_version": self._identity["stage_version"],
            "geojepa": __version__,
            "inputs": self._identity["inputs"],
            "parameters": self._identity["parameters"],
            "files": self._flush_files(),
            "counts": dict(counts or {}),
            "attribution": list(dict.fromkeys([*self.inherited_attribution(), *attribution])),
            **(extra or {}),
        }
        times = {"started": self._started, "finished": time.time(), "seconds": time.time() - self._started}
        write_durably(self.partial / TIMING, json.dumps({**times, **(timing or {})}) + "\n")
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
        write_durably(self.partial / MANIFEST, text + "\n")
        mark_newest(self.partial, self._name)
        fsync(self.partial)
        self.partial.rename(self.path)
        fsync(self.path.parent)
        return Artifact(self._kind, self._name, self.id, self.path, json.loads(text))  # as it will be read again

    def clear(self, keep: Sequence[str] = ()) -> None:
        """Deletes the files that an earlier run left in the temporary directory.

        Args:
            keep: glob patterns of regular files that are not deleted.
        """
        matching = {path for pattern in keep for path in self.partial.glob(pattern)}
        kept = {path for path in matching if path.is_file() and not path.is_symlink()}
        _remove_below(self.partial, kept)

    def _flush_files(self) -> dict[str, dict[str, Any]]:
        files = {}
        for path in sorted(p for p in self.partial.rglob("*") if p.is_file()):
            name = path.relative_to(self.partial).as_posix()
            if name not in (MANIFEST, TIMING):
                files[name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
                fsync(path)
        return files

    def inherited_attribution(self) -> list[str]:
        """Returns the attribution lines of the inputs, without duplicates."""
        ordered = sorted(self._inputs, key=lambda artifact: artifact.full_ref)
        return list(dict.fromkeys(line for artifact in ordered for line in artifact.attribution))


def _remove_below(folder: Path, kept: Set[Path]) -> None:
    """Deletes everything in a folder, except the files in `kept` and the folders that contain these files."""
    for path in sorted(folder.iterdir()):
        if path in kept:
            continue
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        elif any(path in file.parents for file in kept):
            _remove_below(path, kept)
        else:
            shutil.rmtree(path)
