"""The demo city as tests use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

SMALL = ("demo", "--size", "small", "--steps", "2")


class DemoCity(NamedTuple):
    """A copy of the demo city.

    Attributes:
        folder: working directory; its `workspace/` is the workspace.
        answer: the JSON of `geojepa demo --json`.
    """

    folder: Path
    answer: dict[str, Any]
