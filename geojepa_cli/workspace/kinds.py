"""Kinds of artifacts, such as `tiles` and `models`: their names, schema versions and rebuild commands.

The module of a stage registers the kind of its artifacts when it is imported. Creating a `Workspace` imports the
modules of all stages.
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
    """Known facts about an artifact that is missing, damaged or outdated, from which its rebuild command is made.

    Attributes:
        name: name of the artifact.
        params: parameters in the manifest; empty if the manifest cannot be read.
        inputs: references to the inputs in the manifest; empty if the manifest cannot be read.
        path: directory of the artifact; None if the artifact does not exist.
        files: SHA-256 checksum of each file in the manifest, by file name; empty if the manifest cannot be read.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    path: Path | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of artifact, such as `tiles`.

    Attributes:
        name: name of the kind and of its folder in the workspace.
        schema: version of the file layout. Artifacts with another version cannot be opened.
        rebuild: function that takes the known facts about an artifact and returns the command that rebuilds it.
        keep: glob patterns of the files from which an interrupted run can resume. They are kept if a run fails.
    """

    name: str
    schema: int
    rebuild: Callable[[Remains], Hint]
    keep: tuple[str, ...] = ()


# in the order in which the stages run
KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Makes a kind of artifact known to all workspaces."""
    KINDS[kind.name] = kind


def register_all() -> None:
    """Registers the kinds of all stages. Does nothing if kinds are already registered."""
    if not KINDS:
        importlib.import_module("geojepa_cli.stages")


def rebuild_hint(kind: str, remains: Remains) -> Hint:
    """Returns a hint with the command that rebuilds an artifact.

    If the directory of the artifact is known, the command includes the path of its workspace.
    """
    hint = KINDS[kind].rebuild(remains) if kind in KINDS else hints.run("artifacts")
    return hint if remains.path is None else hint.within(remains.path.parent.parent)


def check_name(name: str) -> None:
    """Checks that a name can be used for an artifact, whose directory is called `name@id`.

    Raises:
        UsageError: the name contains invalid characters or is too long.
    """
    if not _NAME.fullmatch(name) or name.endswith(".partial") or len(name) > MAX_NAME:
        raise UsageError(
            f"`{name}` is not a valid name: use at most {MAX_NAME} letters, digits, `-`, `_`, `.` and `+`, and begin "
            "with a letter or digit",
            hints.again(name=legal_name(name)),
        )


def legal_name(text: str) -> str:
    """Converts text to a valid artifact name. Returns `NAME` if the text contains no valid character."""
    kept = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).lstrip("_.+-").rstrip("-.")[:100]
    return kept.removesuffix(".partial") or "NAME"


def name_of(ref: str) -> str:
    """Returns the artifact's name in a reference `kind/name@id` or `name@id`."""
    return ref.rpartition("/")[2].partition("@")[0]
