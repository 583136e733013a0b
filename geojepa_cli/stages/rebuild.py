"""Converts the inputs and parameters in a manifest to options of the command that rebuilds the artifact."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from geojepa_cli import hints
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.errors import GeojepaError
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains, name_of
from geojepa_cli.workspace.manifest import MANIFEST
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

Options = dict[str, hints.Value]


def input_refs(remains: Remains, kind: str) -> list[str]:
    """Returns references to the inputs of the given kind, as values of an option such as `--region`.

    A reference is `name@id`. The name alone is used if the input is the newest artifact with this name, or if the input
    no longer exists.
    """
    return [short_ref(remains, kind, ref.partition("/")[2]) for ref in inputs_of_kind(remains, kind)]


def short_ref(remains: Remains, kind: str, ref: str) -> str:
    """Returns the shortest reference to an artifact: its name, or `name@id` if a newer artifact has the same name.

    Also returns the name if the artifact no longer exists.
    """
    name = name_of(ref)
    if remains.root is None or not (remains.root / kind / ref / MANIFEST).is_file():
        return name
    newest = None
    with contextlib.suppress(GeojepaError):
        newest = Workspace(remains.root).newest(kind, name)
    return name if newest is not None and newest.ref == ref else ref


def open_inputs(remains: Remains, kind: str) -> list[Artifact]:
    """Returns the inputs of the given kind. Leaves out inputs that do not exist or are damaged."""
    found: list[Artifact] = []
    if remains.root is None:
        return found
    for ref in inputs_of_kind(remains, kind):
        with contextlib.suppress(GeojepaError):
            found.append(Workspace(remains.root).at(ref))
    return found


def task_ref(remains: Remains, task: str) -> str:
    """Returns the value of the option `--task` for a command that rebuilds an artifact.

    This is normally the name `task`. It is `task@id` if the artifact to rebuild has exactly one `tasks/` artifact as
    input, and the name alone would select a newer `tasks/` artifact.
    """
    refs = input_refs(remains, "tasks")
    at_id = refs[0].partition("@")[2] if len(refs) == 1 else ""
    return f"{task}@{at_id}" if at_id else task


def limit_options(params: Mapping[str, Any]) -> Options:
    """Converts the entity limits in the parameters of an artifact to `--min-entities` and `--max-entities`.

    A limit that equals the default has the value None, so it does not become an option.
    """
    limits = {"min_entities": DEFAULT_LIMITS.low, "max_entities": DEFAULT_LIMITS.high}
    return {name: number(params.get(name), default) for name, default in limits.items()}


def number(value: Any, default: float = 0) -> int | float | None:
    """Returns a parameter of a manifest if it is a number and differs from the default; otherwise None."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value != default else None


def text(value: Any) -> str | None:
    """Returns a parameter of a manifest if it is a text that is not empty; otherwise None."""
    return value if isinstance(value, str) and value else None


def texts(value: Any) -> list[str]:
    """Returns the texts in a parameter of a manifest that is a list. Returns an empty list for other parameters."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def box(value: Any) -> str | None:
    """Converts a parameter of a manifest to a value of `--bbox`. Returns None if it is not a bounding box."""
    if not isinstance(value, list) or not all(isinstance(side, int | float) for side in value):
        return None
    return ",".join(repr(side) for side in value) or None
