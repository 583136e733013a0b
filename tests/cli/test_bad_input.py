"""Bad input: a clear error with a hint, the right exit code, no traceback, and nothing published."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import osmium
import pytest
from commandline import COMMAND, artifact_names, call, run_main

XML = '<?xml version="1.0"?><osm version="0.6">{}</osm>'
ONE_NODE = '<node id="1" lat="40.8" lon="-77.85"><tag k="amenity" v="cafe"/></node>'


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, done.stderr
    assert "error:" in done.stderr and "hint:" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""
    for text in texts:
        assert text in done.stderr, done.stderr


def write_pbf(path: Path, nodes: int = 3000) -> Path:
    writer = osmium.SimpleWriter(str(path))
    for number in range(1, nodes + 1):
        place = (-77.85 + number * 1e-6, 40.8)
        writer.add_node(osmium.osm.mutable.Node(id=number, location=place, tags={"name": f"n{number}"}, version=1))
    writer.close()
    return path


def html(path: Path) -> Path:
    path.write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>")
    return path


def truncated(path: Path) -> Path:
    whole = write_pbf(path).read_bytes()
    path.write_bytes(whole[: len(whole) - 100])
    return path


def empty_file(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def broken_block(path: Path) -> Path:
    """Its frames are whole, but the compressed data of the last one is not."""
    whole = bytearray(write_pbf(path).read_bytes())
    whole[-200:-20] = bytes(180)
    path.write_bytes(bytes(whole))
    return path


def broken_xml(path: Path) -> Path:
    path = path.with_name("x.osm")
    path.write_text(XML.format(ONE_NODE)[:-12])
    return path


@pytest.mark.parametrize("make", [html, truncated, empty_file, broken_block, broken_xml])
def test_a_damaged_extract_is_refused(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "x.osm.pbf")
    workspace = tmp_path / "workspace"
    done = call("fetch", "--pbf", path, "--name", "x", cwd=tmp_path)
    if done.returncode == 0:  # only the reader can know: `tile` refuses it
        done = call("tile", "--region", "x", cwd=tmp_path)
        assert not [name for name in artifact_names(workspace) if not name.startswith("source/")]
    else:
        assert not artifact_names(workspace)
    assert_refused(done, 1, "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no "),
        ('<way id="1"><nd ref="1"/><nd ref="2"/><tag k="highway" v="path"/></way>', "no "),
        ('<node id="1" lat="40.8" lon="-77.85"/>', "no "),
        ('<node id="1" lat="140.8" lon="-277.85"><tag k="amenity" v="cafe"/></node>', ""),
    ],
    ids=["empty", "without nodes", "without tags", "coordinates out of range"],
)
def test_an_extract_with_nothing_to_tile_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.osm"
    path.write_text(XML.format(content))
    done = call("fetch", "--pbf", path, "--name", "x", cwd=tmp_path)
    if done.returncode == 0:
        done = call("tile", "--region", "x", cwd=tmp_path)
    assert_refused(done, 1, message)
    assert not [name for name in artifact_names(tmp_path / "workspace") if not name.startswith("source/")]


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    done = call("fetch", "--pbf", tmp_path / "absent.osm.pbf", "--name", "x", cwd=tmp_path)
    assert done.returncode == 2 and "absent.osm.pbf" in done.stderr and "Traceback" not in done.stderr


def own_mounts() -> list[str]:
    """`unshare` with the options that this system allows: users need a user namespace, a chroot has none."""
    for options in (["--map-root-user", "--mount"], ["--mount"], ["--mount", "--propagation", "unchanged"]):
        if subprocess.run(["unshare", *options, "true"], capture_output=True).returncode == 0:
            return ["unshare", *options]
    pytest.skip("needs a mount namespace, which this system does not allow")


def in_mount(tmp_path: Path, mount: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs geojepa where `mount` has prepared a folder, in a mount namespace; `left` lists what it leaves there."""
    command, target = " ".join([*COMMAND, *map(str, arguments)]), mount.split()[-1]
    script = (
        f"{mount} && {command}; code=$?; find {target} -name '*@*' ! -name '*.lock' >left; umount {target}; exit $code"
    )
    return subprocess.run(
        [*own_mounts(), "sh", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ},
    )


@pytest.mark.parametrize(
    "mount",
    ["mount -t tmpfs -o size=64k none workspace", "mount -t tmpfs -o ro none workspace"],
    ids=["full", "read-only"],
)
def test_a_full_or_read_only_disk_is_an_error_that_says_so(tmp_path: Path, mount: str) -> None:
    (tmp_path / "workspace").mkdir()
    path = write_pbf(tmp_path / "x.osm.pbf", nodes=30_000)
    assert path.stat().st_size > 100_000
    done = in_mount(tmp_path, mount, "fetch", "--pbf", path, "--name", "x")
    assert_refused(done, 1, "workspace")
    assert (tmp_path / "left").read_text() == ""


def test_a_disk_that_fills_while_tiling_is_an_error_and_nothing_is_published(tmp_path: Path) -> None:
    path = write_pbf(tmp_path / "x.osm.pbf", nodes=30_000)
    run_main("fetch", "--pbf", path, "--name", "x", cwd=tmp_path)
    (tmp_path / "workspace/tiles").mkdir()
    done = in_mount(tmp_path, "mount -t tmpfs -o size=300k none workspace/tiles", "tile", "--region", "x")
    assert_refused(done, 1, "space", "hint: geojepa artifacts --prune")
    assert (tmp_path / "left").read_text() == ""


def test_two_runs_of_one_stage_at_once(tmp_path: Path) -> None:
    path = write_pbf(tmp_path / "x.osm.pbf", nodes=200_000)
    run_main("fetch", "--pbf", path, "--name", "x", cwd=tmp_path)
    both = [
        subprocess.Popen([*COMMAND, "tile", "--region", "x"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in both]
    refused = [text for text, code in ends if code != 0]
    assert len(refused) <= 1  # the second may come when the first has ended, and then finds its result
    assert all("is in use by process" in text and "hint:" in text for text in refused)
    assert len([name for name in artifact_names(tmp_path / "workspace") if name.startswith("tiles/")]) == 1
