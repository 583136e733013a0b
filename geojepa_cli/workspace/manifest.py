"""Manifests (`manifest.json`): they list the files, inputs and parameters of an artifact, and are checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.workspace.kinds import KINDS, Remains, rebuild_hint

MANIFEST_SCHEMA = 1
ID_LENGTH = 12
MANIFEST = "manifest.json"
TIMING = "timing.json"

_ENTRIES: dict[str, type] = {
    "kind": str,
    "id": str,
    "schema": int,
    "stage_version": int,
    "inputs": list,
    "parameters": dict,
    "files": dict,
    "counts": dict,
    "attribution": list,
}
_KINDS_WITH_TEXT = ("models",)  # kinds with text among their counts, such as the limit that stopped the training
_TEXT_LISTS = ("inputs", "attribution")
_ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
_INPUT = re.compile(r"[a-z]+/[^/\s]+@[0-9a-f]+")


def identity_hash(identity: Mapping[str, Any]) -> str:
    """Returns the id of an artifact: the first 12 hex digits of the SHA-256 hash of its identity.

    The identity is hashed as JSON with sorted keys and without spaces.

    Args:
        identity: manifest entries that determine the content of the artifact: kind, parameters, inputs and versions.
    """
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def split_directory(directory: str) -> tuple[str, str]:
    """Splits the directory name of an artifact, `name@id`, into name and id. Returns ("", "") for any other text."""
    name, _, id_ = directory.rpartition("@")
    return (name, id_) if name and _ID.fullmatch(id_) else ("", "")


def published_at(path: Path) -> int:
    """Returns the time when a command last made the artifact at `path`, or found it up to date, in ns since 1970."""
    return (path / MANIFEST).stat().st_mtime_ns


def mark_newest(path: Path, name: str) -> None:
    """Makes the artifact at `path` the newest of all artifacts with this kind and name.

    The time of the manifest decides which artifact is the newest. The current time is not enough: the clock of a file
    system can be coarse, and a clock can be set back. So the manifest gets a later time than all others.

    Args:
        path: directory of an artifact, or the temporary directory from which it is published.
        name: name of the artifact.
    """
    others = [
        published_at(other)
        for other in path.parent.iterdir()
        if other != path and split_directory(other.name)[0] == name and (other / MANIFEST).is_file()
    ]
    now = max([time.time_ns(), *(at + 1 for at in others)])
    os.utime(path / MANIFEST, ns=(now, now))


def read_manifest(kind: str, path: Path) -> dict[str, Any]:
    """Reads and checks the manifest of an artifact.

    Users may edit or damage manifests. So this function checks that all entries have the right types, that the id is
    the hash of parameters, inputs and versions, that the manifest belongs to this directory, and that every file
    exists and has the right size. It does not compare checksums; `geojepa artifacts --verify` does.

    Args:
        kind: kind of the artifact.
        path: directory of the artifact.

    Raises:
        DataError: the manifest cannot be read, or a check fails. The hint is the command that rebuilds the artifact.
            If the directory is a copy of an artifact under another name, the hint is the command that deletes the copy.
    """
    name = split_directory(path.name)[0]
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        check_entries(manifest)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        hint = rebuild_hint(kind, Remains(name, path=path))
        raise DataError(f"`{path / MANIFEST}` is not a manifest: {reason}", hint) from error
    if manifest.get("name", name) != name:
        copied = f"{kind}/{manifest['name']}@{manifest['id']}"
        raise DataError(
            f"`{path}` is a copy of the artifact `{copied}` under another name", hints.shell("rm", "-r", str(path))
        )
    if wrong := _find_misfit(kind, path, manifest):
        raise DataError(wrong, rebuild_hint(kind, Remains(name, path=path)))
    if wrong := _find_damaged_file(path, manifest):
        raise DataError(wrong, rebuild_hint(kind, remains_of(path, manifest)))
    return manifest  # type: ignore[no-any-return]


def identity_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the identity of an artifact: the entries of its manifest from which its id is computed."""
    return {key: manifest[key] for key in ("kind", "schema", "stage_version", "parameters", "inputs")}


def check_entries(manifest: Any) -> None:
    """Checks that a manifest has all required entries, and that they have the right types.

    Raises:
        TypeError: an entry has a wrong type.
        KeyError: an entry is missing.
    """
    if not isinstance(manifest, dict):
        raise TypeError(f"expected a JSON object, got {type(manifest).__name__}")
    for key, expected in _ENTRIES.items():
        if not isinstance(manifest[key], expected) or isinstance(manifest[key], bool):
            raise TypeError(f"`{key}` has a wrong type: {_shown(manifest[key])}")
    for key in _TEXT_LISTS:
        for value in manifest[key]:
            if not isinstance(value, str):
                raise TypeError(f"`{key}` contains {_shown(value)}, expected text")
    if not _are_counts(manifest["counts"], or_text=manifest["kind"] in _KINDS_WITH_TEXT):
        raise TypeError(f"`counts` is {_shown(manifest['counts'])}, expected numbers by name")
    for value in manifest["inputs"]:
        if not _INPUT.fullmatch(value):
            raise TypeError(f"`inputs` contains {_shown(value)}, expected `kind/name@id`")
    for file, entry in manifest["files"].items():
        if not isinstance(entry, dict):
            raise TypeError(f"`files` has {_shown(entry)} for `{file}`")
        size, digest = entry["bytes"], entry["sha256"]
        if not isinstance(size, int) or isinstance(size, bool) or size < 0 or not isinstance(digest, str):
            raise TypeError(f"`files` has {_shown(entry)} for `{file}`")


def _find_misfit(kind: str, path: Path, manifest: Mapping[str, Any]) -> str | None:
    """Returns an error message if a manifest was edited, moved or has another schema version, otherwise None."""
    where = f"`{path / MANIFEST}`"
    if manifest["kind"] != kind or manifest["id"] != split_directory(path.name)[1]:
        return f"{where} belongs to `{manifest['kind']}/…@{manifest['id']}`, not to `{kind}/{path.name}`"
    if kind in KINDS and manifest["schema"] != KINDS[kind].schema:
        return f"`{path}` has schema {manifest['schema']}, this version reads {KINDS[kind].schema}"
    if identity_hash(identity_of(manifest)) != manifest["id"]:
        return f"{where} was changed: its parameters and inputs do not match the id `{manifest['id']}`"
    return None


def _find_damaged_file(path: Path, manifest: Mapping[str, Any]) -> str | None:
    """Returns a message about the first file that is missing or has a wrong size, or None if all files are right."""
    for name, entry in manifest["files"].items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
            return f"`{path / MANIFEST}` names a file outside its folder: `{name}`"
        file = path / name
        size = file.stat().st_size if file.is_file() else None
        if size != entry["bytes"]:
            got = "is missing" if size is None else f"has {size:,} bytes, expected {entry['bytes']:,}"
            return f"`{file}` {got}"
    return None


def remains_of(path: Path, manifest: Mapping[str, Any]) -> Remains:
    """Returns the entries of a valid manifest that are needed to write the command that rebuilds the artifact."""
    files = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    name = split_directory(path.name)[0]
    return Remains(name, manifest["parameters"], manifest["inputs"], path, files)


def _are_counts(value: Any, or_text: bool) -> bool:
    """Returns True for a number or a dict of numbers, which may be nested. `or_text` also allows texts."""
    if isinstance(value, dict):
        return all(_are_counts(inner, or_text) for inner in value.values())
    return isinstance(value, (int | float | str) if or_text else (int | float)) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
