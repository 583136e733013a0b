"""The native binary as a subprocess: found, checked, and never left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from geojepa_cli import hints, native
from geojepa_cli.errors import DataError, GeojepaError, UsageError
from geojepa_cli.hints import Invocation


def test_a_missing_binary_is_an_error_with_every_place_searched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(native.VARIABLE, raising=False)
    monkeypatch.setattr(native.resources, "files", lambda name: tmp_path / "package")
    with pytest.raises(GeojepaError) as caught:
        native.find_binary()
    assert str(tmp_path / "package/bin/geojepa-tiler") in caught.value.message
    assert str(caught.value.hint) == "pip install --force-reinstall geojepa"


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_text("#!/bin/sh\n"), "is not executable"),
    ],
)
def test_a_binary_named_by_a_person_is_used_or_refused_but_never_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Callable[[Path], object], problem: str
) -> None:
    path = tmp_path / "mine"
    make(path)
    monkeypatch.setenv(native.VARIABLE, str(path))
    with pytest.raises(UsageError, match=problem) as caught:
        native.find_binary()
    assert f"`{path}`" in caught.value.message and native.VARIABLE in caught.value.message


@pytest.mark.parametrize(
    ("text", "size"),
    [("1M", 2**20), ("512m", 2**29), ("1G", 2**30), ("2 GiB", 2**31), ("3KB", None), ("1048576", 2**20), ("4T", 2**42)],
)
def test_a_size_is_a_number_and_a_power_of_1024(text: str, size: int | None) -> None:
    if size is None:
        with pytest.raises(UsageError):
            native.parse_memory(text)
    else:
        assert native.parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "-5G", "G", "1.5G", "0", "1X", "99999999999T", "1K", "nan", "1e9", "5G5"])
def test_text_that_is_not_a_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--memory"):
        native.parse_memory(text)


def test_words_of_the_binary_become_part_of_the_message_and_the_command_that_rebuilds_is_the_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = json.dumps({"event": "error", "message": "cut short", "advice": "--zoom is not an option here"})
    script(tmp_path, monkeypatch, f"print({event!r}, file=sys.stderr)\nsys.exit(1)")
    with pytest.raises(DataError, match="cut short; --zoom is not an option here") as caught:
        native.run([], "process", hints.run("tile", region="r"))
    assert str(caught.value.hint) == "geojepa tile --region r"


def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    path = tmp_path / "binary"
    path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{body}")
    path.chmod(0o755)
    monkeypatch.setenv(native.VARIABLE, str(path))


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ({"options": {"bbox": "-1,0,1,2"}}, "geojepa tile --region r --bbox=-1,0,1,2"),
        ({"options": {"polygon": "a b.geojson"}}, "geojepa tile --region r --polygon 'a b.geojson'"),
        ({"command": ["osmium", "sort", "x y.pbf", "-o", "y.pbf"]}, "osmium sort 'x y.pbf' -o y.pbf"),
    ],
)
@pytest.mark.parametrize(("code", "kind"), [(1, DataError), (2, UsageError)])
def test_errors_of_the_binary_become_errors_with_its_hint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    kind: type[GeojepaError],
    hint: dict[str, Any],
    shown: str,
) -> None:
    event = json.dumps({"event": "error", "message": "cut short", **hint})
    script(tmp_path, monkeypatch, f"print({event!r}, file=sys.stderr)\nsys.exit({code})")
    with hints.invocation(Invocation("tile", (("--region", "r"),))), pytest.raises(kind) as caught:
        native.run([], "tile")
    assert (caught.value.message, str(caught.value.hint)) == ("cut short", shown)


def test_a_full_disk_gets_the_hint_to_prune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event = json.dumps({"event": "error", "message": "cannot write `x`", "no_space": True})
    script(tmp_path, monkeypatch, f"print({event!r}, file=sys.stderr)\nsys.exit(1)")
    with pytest.raises(DataError) as caught:
        native.run([], "tile")
    assert str(caught.value.hint) == "geojepa artifacts --prune"


def test_a_signal_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, monkeypatch, "os.kill(os.getpid(), 11)")
    with pytest.raises(DataError, match="killed by signal 11") as caught:
        native.run([], "crash")
    assert str(caught.value.hint) == "geojepa doctor"


def test_the_summary_is_returned_and_other_lines_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, monkeypatch, 'print("not json", file=sys.stderr); print(\'{"counts": {"tiles": 3}}\')')
    assert native.run([], "count") == {"counts": {"tiles": 3}}


def test_the_binary_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    fifo = tmp_path / "map.osm"  # the binary waits here for a writer that never comes
    os.mkfifo(fifo)
    starter = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen({[str(native.find_binary()), 'tile', '--input', str(fifo), '--output', 'x']!r},\n"
        "    env={**os.environ, 'GEOJEPA_PARENT_PID': str(os.getpid())})\n"
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.5)
        assert Path(f"/proc/{child}").exists()
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(")")[1]:
        assert time.monotonic() < deadline, "the binary lives on"
        time.sleep(0.05)
