"""The pipeline run once over real extracts, by its own commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import run_main
from made_once import made_once

from geojepa_cli.workspace.workspace import Workspace

TASK_REGIONS = ("state-college", "harrisburg", "columbus", "baltimore-harbor")


@pytest.fixture(scope="session")
def task_workspace(shared: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Workspace:
    """Four extracts from `fetch` to `build-tasks`, without text embeddings; tests must not change it."""

    def make(folder: Path) -> None:
        for region in TASK_REGIONS:
            run_main("fetch", "--pbf", shared / "osm" / f"{region}.osm.pbf", "--name", region, cwd=folder)
            run_main("tile", "--region", region, cwd=folder)
            run_main("process", "--region", region, "--text-encoder", "none", cwd=folder)
            run_main("build-tasks", "--region", region, cwd=folder)

    return Workspace(made_once("real", make, tmp_path_factory, request) / "workspace")
