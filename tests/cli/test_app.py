"""The command line as a whole: speed of `--help`, lazy imports, exit codes and messages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import geojepa


@pytest.mark.parametrize("command", [[], ["tile"], ["pretrain"], ["probe"], ["knn"], ["demo"], ["fetch"]])
def test_help_imports_neither_torch_nor_numpy(command: list[str]) -> None:
    script = (
        "import sys; from geojepa_cli.app import app\n"
        f"sys.argv = ['geojepa', *{command!r}, '--help']\n"
        "try: app()\n"
        "except SystemExit as end: assert end.code in (0, None)\n"
        "print({'torch', 'numpy', 'h5py', 'matplotlib'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.strip() == "set()"
    assert "Usage" in done.stdout


def test_every_command_of_the_design_is_there(tmp_path: Path) -> None:
    shown = geojepa("--help", cwd=tmp_path).stdout
    for name in [
        "fetch",
        "tile",
        "process",
        "build-tasks",
        "pretrain",
        "embed",
        "probe",
        "knn",
        "demo",
        "report",
        "artifacts",
        "doctor",
    ]:
        assert f" {name} " in shown


def test_a_mistyped_command_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    done = geojepa("pretrian", cwd=tmp_path)
    assert done.returncode == 2
    assert "pretrain" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told", "hint"),
    [
        (["tile", "--region", "nowhere"], "unknown region `nowhere`", "geojepa fetch --pbf FILE --name"),
        (["process", "--region", "nowhere"], "nowhere", "geojepa"),
        (["tile"], "no source in", "geojepa fetch"),
        (["tile", "--bbox", "1,2,3"], "", ""),
        (["artifacts", "--lineage", "tiles/x"], "x", "geojepa tile"),
    ],
)
def test_an_unknown_name_is_a_usage_error_with_a_hint_and_no_traceback(
    tmp_path: Path, arguments: list[str], told: str, hint: str
) -> None:
    done = geojepa(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert told in done.stderr
    assert hint in done.stderr
    assert done.stdout == ""


def test_a_workspace_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "ws").write_text("a file, not a directory")
    extract = tmp_path / "x.osm"
    extract.write_text('<osm version="0.6"><node id="1" lat="1" lon="1"><tag k="a" v="b"/></node></osm>')
    done = geojepa("--workspace", "ws", "fetch", "--pbf", str(extract), "--name", "x", cwd=tmp_path)
    assert done.returncode == 1
    assert "ws" in done.stderr and "hint:" in done.stderr and "Traceback" not in done.stderr


def test_pruning_nothing_says_so_without_asking(tmp_path: Path) -> None:
    done = geojepa("artifacts", "--prune", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == "nothing to remove\n"


def test_json_has_one_shape(tmp_path: Path) -> None:
    done = geojepa("artifacts", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {"schema": 1, "command": "artifacts", "artifact": None, "result": []}
