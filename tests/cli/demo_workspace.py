"""The demo city as tests use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from geojepa_cli import stages

Made = dict[str, Any]
SMALL = ("demo", "--size", "small", "--steps", "2")


class DemoCity(NamedTuple):
    """A copy of the demo city.

    Attributes:
        folder: working directory; its `workspace/` is the workspace.
        answer: the JSON of `geojepa demo --json`.
    """

    folder: Path
    answer: dict[str, Any]


def map_of(made: Made) -> Path:
    """The path of an OpenStreetMap extract."""
    return Path(made["source"].file("map.osm.pbf"))


def probed(made: Made, **changes: Any) -> Any:
    """A quick probe."""
    given = {"task": "bridge", "model": "tagpool", "head": "linear"} | changes
    return stages.probe(made["workspace"], **given)
