"""Kinds of artifacts: their names, schema versions, and the commands that rebuild them.

A stage registers its kind when it is imported. Creating a `Workspace` imports all stages.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import Hint

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
MAX_NAME = 150  # characters; with id and `.partial`, the directory's name must not exceed 255 bytes


@dataclass(frozen=True)
class Remains:
    """Known facts about an artifact that must be rebuilt.

    Attributes:
        name: name of the artifact.
        params: parameters in its manifest; empty if the manifest cannot be read.
        inputs: inputs in its manifest; empty if the manifest cannot be read.
        path: directory of the artifact; None if there is none.
        files: SHA-256 checksums in its manifest, by file name.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    path: Path | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of artifact.

    Attributes:
        name: name of the kind and of its folder in the workspace.
        schema: version of the file layout. Artifacts with another version are rejected.
        rebuild: function that returns the command that rebuilds an artifact.
        keep: patterns of the files from which a killed or failed run can be resumed.
    """

    name: str
    schema: int
    rebuild: Callable[[Remains], Hint]
    keep: tuple[str, ...] = ()


# in the order in which the stages run
KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Registers a kind for all workspaces."""
    KINDS[kind.name] = kind


def register_all() -> None:
    """Registers the kinds of all stages, if that has not been done yet."""
    if not KINDS:
        importlib.import_module("geojepa_cli.stages")


def rebuild_hint(kind: str, remains: Remains) -> Hint:
    """Returns the command that rebuilds an artifact.

    The command names the workspace if the directory of the artifact is known.
    """
    hint = KINDS[kind].rebuild(remains) if kind in KINDS else hints.run("artifacts")
    return hint if remains.path is None else hint.within(remains.path.parent.parent)


def check_name(name: str) -> None:
    """Checks the name of an artifact. It becomes part of a directory name, in which `@` separates name and id.

    Raises:
        UsageError: the name has invalid characters, or is too long.
    """
    if not _NAME.fullmatch(name) or name.endswith(".partial") or len(name) > MAX_NAME:
        raise UsageError(
            f"`{name}` is not a valid name: use at most {MAX_NAME} letters, digits, `-`, `_`, `.` and `+`, and begin "
            "with a letter or digit",
            hints.again(name=legal_name(name)),
        )


def legal_name(text: str) -> str:
    """Converts text to a valid name of an artifact. Returns `NAME` if no valid character remains."""
    kept = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).lstrip("_.+-").rstrip("-.")[:100]
    return kept.removesuffix(".partial") or "NAME"


def name_of(ref: str) -> str:
    """Returns the name part of a reference `kind/name@id` or `name@id`."""
    return ref.rpartition("/")[2].partition("@")[0]
