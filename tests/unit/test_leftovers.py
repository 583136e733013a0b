"""Locks, and what failed and killed runs leave in a workspace."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from workspace_artifacts import publish

from geojepa_cli.errors import BusyError
from geojepa_cli.workspace.leftovers import DOWNLOADS, find_leftovers, remove_leftover
from geojepa_cli.workspace.lock import is_held, locked
from geojepa_cli.workspace.manifest import MANIFEST
from geojepa_cli.workspace.workspace import Workspace

KEEP = ("checkpoint", "chunks/*.npz")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def test_a_failed_build_leaves_only_what_the_next_run_resumes_from(workspace: Workspace) -> None:
    for keep in ((), KEEP):
        with pytest.raises(RuntimeError), workspace.build("models", "m", {"keep": keep}, keep=keep) as build:
            (build.partial / "checkpoint").write_text("half")
            (build.partial / "weights").write_text("half")
            (build.partial / "chunks").mkdir()
            (build.partial / "chunks/0.npz").write_text("half")
            (build.partial / "chunks/0.npz.tmp").write_text("half")
            raise RuntimeError
        assert build.partial.exists() == bool(keep)
        assert not workspace.artifacts("models")
    with workspace.build("models", "m", {"keep": KEEP}, keep=KEEP) as again:
        left = sorted(path.relative_to(again.partial).as_posix() for path in again.partial.rglob("*"))
        assert left == ["checkpoint", "chunks", "chunks/0.npz"]
        again.publish()
    assert [artifact.name for artifact in workspace.artifacts("models")] == ["m"]


def test_a_failed_run_that_kept_nothing_leaves_no_directory(workspace: Workspace) -> None:
    for content in (False, True):
        with pytest.raises(RuntimeError), workspace.build("models", "m", {"content": content}, keep=KEEP) as build:
            (build.partial / "chunks").mkdir()
            if content:
                (build.partial / "chunks" / "0.npz").write_bytes(b"data")
            raise RuntimeError
        assert build.partial.exists() == content


def test_a_failed_run_leaves_neither_lock_nor_folder(workspace: Workspace) -> None:
    with pytest.raises(ZeroDivisionError), workspace.build("tiles", "r", {}):
        raise ZeroDivisionError
    assert not workspace.root.exists()
    publish(workspace)
    with pytest.raises(ZeroDivisionError), workspace.build("source", "s", {}):
        raise ZeroDivisionError
    assert [path.name for path in (workspace.root / "source").iterdir()] == [publish(workspace).path.name]


def test_a_second_run_names_the_holder_of_the_lock_and_a_killed_run_holds_none(workspace: Workspace) -> None:
    script = (
        "import time; import geojepa_cli; from pathlib import Path\n"
        f"with geojepa_cli.Workspace(Path({str(workspace.root)!r})).build('source', 'r', {{}}) as build:\n"
        "    print(build.partial, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        partial = Path(other.stdout.readline().strip())
        lock = partial.with_suffix(".lock")
        assert is_held(lock) and find_leftovers(workspace) == []
        assert not remove_leftover(partial) and partial.exists()
        with pytest.raises(BusyError, match=f"process {other.pid} "), workspace.build("source", "r", {}):
            pass
        other.kill()
        other.wait()
    assert lock.exists() and not is_held(lock)
    assert find_leftovers(workspace) == [partial]
    assert publish(workspace).verify() == []
    assert not lock.exists()


def test_the_next_run_removes_the_lock_of_a_run_killed_after_publishing(workspace: Workspace) -> None:
    lock = publish(workspace).path.with_name(publish(workspace).path.name + ".lock")
    lock.write_text('{"pid": 1}')
    publish(workspace)
    assert not lock.exists()


def test_leftovers_of_ended_runs_are_found_and_removed_and_those_in_use_are_not(workspace: Workspace) -> None:
    kept = publish(workspace)
    with pytest.raises(RuntimeError), workspace.build("models", "m", {}, keep=KEEP) as failed:
        (failed.partial / "checkpoint").write_bytes(b"data")
        raise RuntimeError
    half = publish(workspace, zoom=3)
    (half.path / MANIFEST).unlink()
    lone = kept.path.with_name("gone@0123456789ab.lock")
    download = workspace.root / "downloads/us-pa.osm.pbf.lock"
    download.parent.mkdir()
    for lock in (lone, download, half.path.with_name(half.path.name + ".lock")):
        lock.write_text("")
    with workspace.build("models", "running", {}, keep=KEEP) as running, locked(download.with_name("b.lock"), "b"):
        (running.partial / "checkpoint").write_bytes(b"data")
        found = find_leftovers(workspace)
        assert sorted(found) == sorted([lone, half.path, failed.partial, download])
        assert lone.exists() and download.exists()  # finding changes nothing
        assert not remove_leftover(running.partial)
        assert running.partial.exists()
        running.publish()
    assert all(remove_leftover(path) for path in found)
    assert find_leftovers(workspace) == []
    left = sorted(path.name for path in workspace.root.rglob("*") if path.suffix in (".lock", ".partial"))
    assert left == [] and not half.path.exists()
    assert workspace.find("source", "r").ref == kept.ref


def test_files_that_geojepa_did_not_make_are_no_leftovers(workspace: Workspace, tmp_path: Path) -> None:
    folder = publish(workspace).path.parent
    (tmp_path / "notes.txt").write_text("notes")
    (folder / "r@0123456789ab.lock").symlink_to(tmp_path / "notes.txt")
    (folder / "me@home.lock").write_text("")
    (folder / "me@home.partial").mkdir()
    assert find_leftovers(workspace) == []
    assert not remove_leftover(folder / "me@home.partial") and (folder / "me@home.partial").exists()


def test_a_lock_that_is_not_a_file_of_json_still_gives_a_message(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with locked(path, "x"):
        path.write_text("[" * 9999)
        with pytest.raises(BusyError, match="`x` is in use by another process"), locked(path, "x"):
            pass


@pytest.mark.parametrize("used", ["a.osm.pbf.partial", "b.osm.pbf", None])
def test_downloads_that_no_process_uses_are_leftovers(tmp_path: Path, used: str | None) -> None:
    """A partial file with its description, and a whole file; the copy of the index stays."""
    folder = tmp_path / DOWNLOADS
    folder.mkdir()
    names = ["a.osm.pbf.partial", "a.osm.pbf.partial.json", "b.osm.pbf", "index-0123456789ab.json"]
    for name in names:
        (folder / name).write_text("x")
    workspace = Workspace(tmp_path)
    with contextlib.ExitStack() as stack:
        if used is not None:
            held = stack.enter_context((folder / used).open("rb"))
            fcntl.flock(held, fcntl.LOCK_EX)
        found = find_leftovers(workspace)
        assert [path.name for path in found] == [name for name in names[:3] if not used or not name.startswith(used)]
        assert all(remove_leftover(path) for path in found)
        if used is not None:
            assert not remove_leftover(folder / used) and (folder / used).exists()
    assert (folder / names[3]).exists()
