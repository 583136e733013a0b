"""`geojepa explore`: starts, stops cleanly, and refuses what it cannot serve before any long work."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import COMMAND, heed_ctrl_c, refused
from hint_commands import check_hint
from synthetic_workspace import add_region, new_workspace

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import MissingExtraError
from geojepa_cli.pages.explorer import library
from geojepa_cli.pages.explorer.server import ExplorerServer


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two regions; the first one has images."""
    made = new_workspace(tmp_path_factory.mktemp("explore") / "workspace")
    add_region(made, "town", 5, 40, with_images=True)
    add_region(made, "village", 6, 30, corner=(18080, 25956))
    return made


@contextlib.contextmanager
def running(workspace: Workspace, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    """Runs the command in a new process; yields the process and its JSON."""
    command = [*COMMAND, "--workspace", str(workspace.root), "explore", "--model", "tagpool", "--json", *arguments]
    environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "OMP_NUM_THREADS": "1"},
        preexec_fn=heed_ctrl_c,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped(workspace: Workspace, number: signal.Signals) -> None:
    with running(workspace) as (process, answer):
        url = str(answer["result"]["url"])
        assert answer["command"] == "explore" and url.startswith("http://127.0.0.1:")
        about = json.load(urllib.request.urlopen(url + "api/about", timeout=20))
        assert [one["name"] for one in about["regions"]] == ["town", "village"]
        assert about["model"].startswith("tagpool") and about["form"] == "balanced"
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "stopped" in stderr and "Traceback" not in stderr
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_python_programs_start_and_stop_the_server(workspace: Workspace) -> None:
    with stages.explore(workspace, "tagpool", "town", space="whitened") as server:
        assert isinstance(server, ExplorerServer)
        about = json.load(urllib.request.urlopen(server.url + "api/about", timeout=20))
    assert about["form"] == "whitened" and about["regions"][0]["images"] == "aerial"
    assert any("OpenStreetMap" in line for line in about["credits"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--basemap", "tiles.example/{z}/{x}/{y}"], "is not a URL of map tiles"),
        (["--basemap", "https://tiles.example/{z}/{x}"], "with {z}, {x} and {y}"),
        (["--basemap", "file:///etc/{z}/{x}/{y}"], "expected http or https"),
        (["--basemap", "https://a.example/{z}/{x}/{y}; script-src *"], "is not a URL of map tiles"),
        (["--space", "flat"], "unknown space `flat`"),
        (["--port", "70000"], "expected 0 to 65,535"),
        (["--host", "999.1.2.3"], "cannot listen on host `999.1.2.3`"),
        (["--region", "twon"], "did you mean `town`"),
        (["--model", "tagpol"], "tagpool"),
        (["--min-entities", "9", "--max-entities", "3"], "is greater than"),
        (["--device", "gpu"], "unknown device"),
    ],
)
def test_wrong_options_are_clear_errors(workspace: Workspace, arguments: list[str], says: str) -> None:
    assert says in refused(workspace, "explore", *arguments).message


def test_a_port_in_use_is_found_before_the_embeddings_are_made(tmp_path: Path) -> None:
    empty = new_workspace(tmp_path / "workspace")
    other = ExplorerServer()
    try:
        error = refused(empty, "explore", "--port", str(other.port))
    finally:
        other.stop()
    assert "address already in use" in error.message and "--port 0" in str(error.hint)


def test_a_missing_map_library_is_a_clear_error(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "FILES", ("absent.js",))
    with pytest.raises(
        MissingExtraError, match=r"MapLibre GL is not part of this installation: `.*absent.js`"
    ) as error:
        stages.explore(workspace, "tagpool")
    check_hint(str(error.value.hint))
