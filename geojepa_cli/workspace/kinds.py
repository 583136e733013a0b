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
        inputs: references to the inputs, as listed in the manifest; empty if the manifest cannot be read.
        path: directory of the artifact; None if the artifact does not exist.
        files: dict from file name to SHA-256 checksum, as listed in the manifest; empty if the manifest cannot be read.
        workspace: directory of the workspace; needed only if `path` is None.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    path: Path | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    workspace: Path | None = None

    @property
    def root(self) -> Path | None:
        """Directory of the workspace; None if it is unknown."""
        return self.workspace if self.path is None else self.path.parent.parent


@dataclass(frozen=True)
class Kind:
    """A kind of artifact, such as `tiles`.

    Attributes:
        name: name of the kind and of its folder in the workspace.
        schema: version of the file layout. Artifacts with another version cannot be opened.
        rebuild: function that takes the known facts about an artifact and returns the command that rebuilds it.
        made_from: kind of the input artifact that has the same region. For example, the `tiles` of a region are made
            from the `source` of that region. None if artifacts of this kind can be made from several regions.
        of_region: True if artifacts of this kind have the name of a region.
        variant: names of parameters. A new artifact replaces an older one of the same name only if the values of these
            parameters are equal.
        resumes_from: glob patterns. An interrupted run can resume if each pattern matches a file that is not empty.
        files: names of the files that the artifacts contain. If one is missing in a manifest, the manifest is damaged.
    """

    name: str
    schema: int
    rebuild: Callable[[Remains], Hint]
    made_from: str | None = None
    of_region: bool = False
    variant: tuple[str, ...] = ()
    resumes_from: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


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

    If the workspace of the artifact is known, the command includes its path.
    """
    hint = KINDS[kind].rebuild(remains) if kind in KINDS else hints.run("artifacts")
    return hint if remains.root is None else hint.within(remains.root)


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
    """Converts text to a valid artifact name.

    If the text contains no valid character, returns the text `NAME`: a placeholder that the user replaces.
    """
    kept = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).lstrip("_.+-").rstrip("-.")[:100]
    return re.sub(r"(\.partial)+$", "", kept) or "NAME"


def name_of(ref: str) -> str:
    """Returns the artifact's name in a reference `kind/name@id` or `name@id`."""
    return ref.rpartition("/")[2].partition("@")[0]
