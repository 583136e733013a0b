"""Kinds of artifact: their names, their schema, and the command that rebuilds one.

A stage registers its kind when it is imported; `geojepa_cli.Workspace` imports all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import Hint

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
MAX_NAME = 150  # characters; with its id and `.partial` it is a directory's name, of 255 bytes at most


@dataclass(frozen=True)
class Remains:
    """What is known about an artifact that has to be rebuilt.

    Attributes:
        name: of the artifact.
        params, inputs: from its manifest; empty where that cannot be read.
        path: its directory, or None where there is no such directory.
        files: SHA-256 of its files by name, from the manifest.
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
        name: also the folder in the workspace.
        schema: version of its files' layout; a reader takes its own only.
        rebuild: returns the command that makes an artifact again.
    """

    name: str
    schema: int
    rebuild: Callable[[Remains], Hint]


# in the order in which the stages run
KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Makes a kind known to every workspace."""
    KINDS[kind.name] = kind


def rebuild_hint(kind: str, remains: Remains) -> Hint:
    """Returns the command that makes an artifact again, in its workspace where that is known."""
    hint = KINDS[kind].rebuild(remains) if kind in KINDS else hints.run("artifacts")
    return hint if remains.path is None else hint.within(remains.path.parent.parent)


def check_name(name: str) -> None:
    """Checks that `name` can name an artifact: it becomes a directory, and `@` separates it from its id.

    Raises:
        UsageError: it has other characters, or is too long.
    """
    if not _NAME.fullmatch(name) or name.endswith(".partial") or len(name) > MAX_NAME:
        raise UsageError(
            f"`{name}` cannot name an artifact: use letters, digits, `-`, `_`, `.` and `+`, and begin with a letter "
            "or digit",
            hints.again(name=legal_name(name)),
        )


def legal_name(text: str) -> str:
    """Returns `text` without what a name cannot have; `NAME` where nothing remains."""
    kept = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).lstrip("_.+-").rstrip("-.")[:100]
    return kept.removesuffix(".partial") or "NAME"


def name_of(ref: str) -> str:
    """Returns the name in `kind/name@id` or `name@id`."""
    return ref.rpartition("/")[2].partition("@")[0]
