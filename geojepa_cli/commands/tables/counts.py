"""Prints the counts in the manifest of an artifact as a table, and the path of the artifact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geojepa_cli import console
from geojepa_cli.workspace.artifact import Artifact

FIRST = ("tiles", "images", "photos", "entities", "objects", "pieces", "steps", "parameters", "pairs")


def ordered_counts(artifact: Artifact) -> list[tuple[str, Any]]:
    """Returns the names and values of an artifact's counts, in the order in which all commands print them.

    The main counts come first, then the others in alphabetical order. Numbers of dropped or repaired OSM elements and
    tiles are not returned. `print_counts` prints these numbers separately, by reason.
    """
    plain = {name: value for name, value in sorted(artifact.counts.items()) if not isinstance(value, dict)}
    first = [name for name in FIRST if name in plain]
    return [(name, plain[name]) for name in [*first, *(name for name in plain if name not in first)]]


def print_counts(artifact: Artifact) -> None:
    """Prints an artifact's path and a table of its counts. Dropped and repaired items have one row per reason."""
    rows = [(_words(name), _number(value)) for name, value in ordered_counts(artifact)]
    for group in ("dropped", "repaired"):
        found = sorted(artifact.counts.get(group, {}).items())
        rows += [(f"{group}: {_words(reason)}", _number(value)) for reason, value in found if value]
    console.table(artifact.full_ref, ["", "count"], rows)
    print_path(artifact)


def print_artifacts(artifacts: Sequence[Artifact]) -> None:
    """Prints a table with one row per artifact of the same kind, and the folder that contains the artifacts."""
    names = [name for name, _ in ordered_counts(artifacts[0])]
    rows = [[one.ref, *(_number(one.counts.get(name, "")) for name in names)] for one in artifacts]
    console.table(artifacts[0].kind, ["", *map(_words, names)], rows)
    console.print_line(f"{console.counted(len(artifacts), 'artifact')} in {artifacts[0].path.parent}")


def print_path(artifact: Artifact) -> None:
    """Prints the reference of an artifact (`kind/name@id`) and the path of its directory."""
    console.print_line(f"{artifact.full_ref}: {artifact.path}")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
