"""The demo city as tests use it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from geojepa_cli import Workspace, stages

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

    @property
    def workspace(self) -> Workspace:
        """The workspace, which tests of one file share."""
        return Workspace(self.folder / "workspace")


def linked_copy(workspace: Workspace, folder: Path) -> Workspace:
    """A copy of a workspace in a folder. Files are links, so that a test must replace a file to change it."""
    shutil.copytree(workspace.root, folder / "workspace", copy_function=os.link)
    return Workspace(folder / "workspace")


def map_of(made: Made) -> Path:
    """The path of an OpenStreetMap extract."""
    return Path(made["source"].file("map.osm.pbf"))


def probed(made: Made, **changes: Any) -> Any:
    """A quick probe."""
    given = {"task": "bridge", "model": "tagpool", "head": "linear"} | changes
    return stages.probe(made["workspace"], **given)
