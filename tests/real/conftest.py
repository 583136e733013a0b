"""The pipeline run once over real extracts, by its own commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from geojepa_cli.workspace.workspace import Workspace

TASK_REGIONS = ("state-college", "harrisburg", "columbus", "baltimore-harbor")


@pytest.fixture(scope="session")
def task_workspace(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Four extracts from `fetch` to `build-tasks`, without text embeddings."""
    root = tmp_path_factory.mktemp("real") / "workspace"
    for region in TASK_REGIONS:
        geojepa(root, "fetch", "--pbf", str(shared / "osm" / f"{region}.osm.pbf"), "--name", region)
        geojepa(root, "tile", "--region", region)
        geojepa(root, "process", "--region", region, "--text-encoder", "none")
        geojepa(root, "build-tasks", "--region", region)
    return Workspace(root)


def geojepa(root: Path, *arguments: str) -> str:
    """Runs a command to its good end; returns what it says on stdout."""
    command = [sys.executable, "-P", "-m", "geojepa_cli", "--workspace", str(root), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, f"geojepa {' '.join(arguments)}\n{done.stderr}"
    return done.stdout
