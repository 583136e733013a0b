"""The command line as a whole: lazy imports, exit codes and messages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import COMMAND, call, geojepa

from geojepa_cli import Workspace


@pytest.mark.parametrize(
    "command",
    [[], ["tile"], ["pretrain"], ["probe"], ["probe-entities"], ["knn"], ["export"], ["demo"], ["fetch"], ["sweep"]],
)
def test_help_imports_neither_torch_nor_numpy(command: list[str]) -> None:
    script = (
        "import sys; from geojepa_cli.app import app\n"
        f"sys.argv = ['geojepa', *{command!r}, '--help']\n"
        "try: app()\n"
        "except SystemExit as end: assert end.code in (0, None)\n"
        "print({'torch', 'numpy', 'h5py', 'matplotlib', 'yaml'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.strip() == "set()"
    assert "Usage" in done.stdout


def test_every_command_of_the_design_is_there(tmp_path: Path) -> None:
    shown = geojepa("--help", cwd=tmp_path).stdout
    names = "fetch tile process build-tasks pretrain embed probe probe-entities knn demo report sweep artifacts doctor"
    assert all(f" {name} " in shown for name in names.split())


def test_a_mistyped_command_gets_the_nearest_one(tmp_path: Path) -> None:
    done = geojepa("pretrian", cwd=tmp_path)
    assert done.returncode == 2
    assert "pretrain" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["tile", "--region", "nowhere"], "unknown region `nowhere`", "geojepa fetch --pbf FILE --name"),
        (["process", "--region", "nowhere"], "nowhere", "geojepa"),
        (["tile"], "no source artifacts in", "geojepa fetch"),
        (["tile", "--bbox", "1,2,3"], "", ""),
        (["artifacts", "--lineage", "tiles/x"], "x", "geojepa tile"),
    ],
)
def test_an_unknown_name_is_a_usage_error_with_a_hint_and_no_traceback(
    tmp_path: Path, arguments: list[str], message: str, hint: str
) -> None:
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert message in done.stderr
    assert hint in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["nosuch"], "no such command `nosuch`", "geojepa --help"),
        (["tile", "--zoom", "13"], "`--zoom 13`", "geojepa tile --zoom 16"),
        (["knn", "--k", "0", "--tile", "16_1_2"], "`--k 0`", "geojepa knn --tile 16_1_2 --k 8"),
        (["knn", "--k", "many"], "`--k`", "geojepa knn --k 8"),
        (
            ["probe-entities"],
            "missing option `--task`",
            "geojepa probe-entities --task building_class --model geojepa-small",
        ),
        (["knn", "--taile", "x"], "--taile", "geojepa knn --tile x"),
    ],
)
def test_a_line_that_does_not_parse_gets_the_same_form_of_message_and_a_hint(
    tmp_path: Path, arguments: list[str], message: str, hint: str
) -> None:
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    first, blank, last = done.stderr.splitlines()
    assert first.startswith("error: ") and message in first and blank == ""
    assert last == f"hint: {hint}"


def test_no_arguments_show_the_help(tmp_path: Path) -> None:
    done = call(cwd=tmp_path)
    assert done.returncode == 2
    assert "Usage" in done.stdout + done.stderr and "error:" not in done.stderr


def test_switches_are_shown_without_a_type(tmp_path: Path) -> None:
    for command in ([], ["knn"], ["tile"], ["pretrain"]):
        assert "bool" not in call(*command, "--help", cwd=tmp_path).stdout


BROKEN = """
import sys
from geojepa_cli import app
def broken():
    raise {error}
app.app.command("broken")(broken)
sys.argv = ["geojepa", *{arguments}]
app.main()
"""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("ValueError('expected a \\x1b[2Jlist')", 70, "this is a bug of geojepa: ValueError: expected a \\x1b[2Jlist"),
        ("RuntimeError('DefaultCPUAllocator: can\\'t allocate memory')", 1, "not enough memory"),
        ("MemoryError()", 1, "not enough memory"),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_an_unexpected_error_is_one_message_with_its_exit_code(
    tmp_path: Path, error: str, code: int, message: str, debug: bool
) -> None:
    arguments = ["--debug"] * debug + ["--workspace", "a b", "broken"]
    script = BROKEN.format(error=error, arguments=arguments)
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == code and done.stdout == ""
    assert f"error: {message}" in done.stderr and "hint: geojepa " in done.stderr
    assert ("Traceback" in done.stderr) == debug
    if code == 70:
        assert done.stderr.endswith("hint: geojepa --debug --workspace 'a b' broken\n")


def test_a_workspace_that_is_a_file_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "ws").write_text("a file, not a directory")
    extract = tmp_path / "x.osm"
    extract.write_text('<osm version="0.6"><node id="1" lat="1" lon="1"><tag k="a" v="b"/></node></osm>')
    done = call("--workspace", "ws", "fetch", "--pbf", str(extract), "--name", "x", cwd=tmp_path)
    assert done.returncode == 1
    assert "ws" in done.stderr and "hint:" in done.stderr and "Traceback" not in done.stderr


def test_a_workspace_that_is_not_a_folder_is_an_error_for_commands_that_only_read(tmp_path: Path) -> None:
    for command in (["artifacts"], ["report"], ["knn", "--tile", "16_1_2"]):
        done = call("--workspace", "/dev/full", *command, cwd=tmp_path)
        assert done.returncode == 1 and "`/dev/full` is not a directory" in done.stderr and done.stdout == ""


def test_a_report_without_probes_is_an_error(tmp_path: Path) -> None:
    done = call("report", cwd=tmp_path)
    assert done.returncode == 1 and "no probes in" in done.stderr and "hint: geojepa probe" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_text_encoder_is_an_error_before_any_work(tmp_path: Path) -> None:
    with Workspace(tmp_path / "workspace").build("tiles", "r", {}) as build:
        (build.partial / "tiles.h5").write_bytes(b"never read")
        build.publish()
    done = call("process", "--text-encoder", "foo", cwd=tmp_path)
    assert done.returncode == 2 and "`foo`" in done.stderr
    assert not (tmp_path / "workspace" / "processed").exists()


def test_pruning_nothing_says_so_without_asking(tmp_path: Path) -> None:
    done = call("artifacts", "--prune", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == "nothing to remove\n"


def test_a_reader_that_ends_early_gets_no_message(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, "artifacts"], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 1 and done.stderr == ""


def test_json_has_one_shape(tmp_path: Path) -> None:
    done = geojepa("artifacts", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {"schema": 1, "command": "artifacts", "artifact": None, "result": []}
