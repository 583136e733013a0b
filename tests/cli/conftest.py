"""The small demo city, made once in a run of all tests, and commands on a workspace of random regions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commandline import Run, invoke, run
from demo_workspace import SMALL, DemoCity, Made, linked_copy
from made_once import made_once
from synthetic_workspace import add_region

from geojepa_cli.workspace.workspace import Workspace

NO_PROXY = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}  # nothing listens there


@pytest.fixture(scope="session")
def made_demo(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The folder of the demo city, which tests must not change; parallel workers share it."""

    def make(folder: Path) -> None:
        answer = run(*SMALL, "--json", cwd=folder, timeout=900, **NO_PROXY)
        (folder / "answer.json").write_text(answer)

    return made_once("demo-city", make, tmp_path_factory, request)


@pytest.fixture(scope="module")
def demo_city(made_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> DemoCity:
    """A copy of the demo city for the tests of one file."""
    folder = tmp_path_factory.mktemp("city")
    shutil.copytree(made_demo / "workspace", folder / "workspace")
    return DemoCity(folder, json.loads((made_demo / "answer.json").read_text()))


@pytest.fixture(scope="module")
def run_here(workspace: Workspace) -> Run:
    """Runs a command in this process on the module's `workspace` and returns stdout; an error is raised as it is."""

    def command(*arguments: object) -> str:
        done = invoke(workspace, *arguments)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return command


@pytest.fixture
def crowded(tmp_path: Path) -> Workspace:
    """A region `town`, whose tiles have more entities than `--max-entities 20` keeps."""
    made = Workspace(tmp_path / "workspace")
    add_region(made, "town", 5, 40, mean_entities=60.0)
    return made


@pytest.fixture
def demo(demo_city: DemoCity, tmp_path: Path) -> Workspace:
    """A copy of the demo city's workspace. Files are links, so that a test must replace a file to change it."""
    return linked_copy(demo_city.workspace, tmp_path)


@pytest.fixture
def made(demo_city: DemoCity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A copy of the demo city's workspace, an artifact of each kind, and files for other arguments."""
    monkeypatch.chdir(tmp_path)  # relative paths such as `out` of `report` are created in the working directory
    workspace = linked_copy(demo_city.workspace, tmp_path)
    found: Made = {artifact.kind: artifact for artifact in workspace.everything()}
    found |= {"workspace": workspace, "folder": tmp_path, "tasks": workspace.find("tasks", "demo.bridge")}
    (tmp_path / "bridge.yaml").write_bytes(found["tasks"].file("task.yaml").read_bytes())
    found["entity_task"] = tmp_path / "roads.yaml"
    found["entity_task"].write_text(
        "{name: roads, title: roads, key: highway, kinds: [line], ignore: ['no'], min_examples: 2}"
    )
    found["feature"] = tmp_path / "road.yaml"
    found["feature"].write_text("{name: road, title: road, has: [{tags: [highway=residential]}]}")
    (tmp_path / "area.geojson").write_text(
        '{"type": "Polygon", "coordinates": [[[-180, -80], [180, -80], [180, 80], [-180, 80], [-180, -80]]]}'
    )
    return found
