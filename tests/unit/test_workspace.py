"""Artifacts: identity, publication, locks, damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from geojepa_cli.errors import BusyError, DataError, NotFoundError, UsageError
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.manifest import MANIFEST
from geojepa_cli.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def publish(
    workspace: Workspace, kind: str = "source", name: str = "r", inputs: tuple[Artifact, ...] = (), **params: object
) -> Artifact:
    with workspace.build(kind, name, params, inputs) as build:
        if build.existing:
            return build.existing
        (build.partial / "data").write_bytes(json.dumps(params).encode())
        return build.publish(counts={"rows": 1}, attribution=[f"made for {kind}"])


def test_the_same_parameters_find_the_published_artifact(workspace: Workspace) -> None:
    first = publish(workspace, zoom=16)
    with workspace.build("source", "r", {"zoom": 16}) as build:
        assert build.existing is not None
        assert build.existing.ref == first.ref


def test_other_parameters_inputs_and_versions_make_another_id(workspace: Workspace) -> None:
    a, b = publish(workspace, zoom=16), publish(workspace, zoom=15)
    tiles = [publish(workspace, "tiles", inputs=(source,)) for source in (a, b)]
    with workspace.build("tiles", "r", {}, [a], stage_version=2) as build:
        later = build.id
    assert len({a.id, b.id, *(t.id for t in tiles), later}) == 5
    assert workspace.find("tiles", "r").ref == tiles[1].ref
    assert workspace.derived("tiles", "r", a).ref == tiles[0].ref


def test_a_version_asked_for_again_is_the_newest(workspace: Workspace) -> None:
    first = publish(workspace, zoom=16)
    second = publish(workspace, zoom=15)
    os.utime(first.path / MANIFEST, (1, 1))
    assert workspace.find("source", "r").ref == second.ref
    os.utime(second.path / MANIFEST, (2, 2))
    publish(workspace, zoom=16)
    assert workspace.find("source", "r").ref == first.ref


def test_the_manifest_carries_files_counts_and_the_attribution_of_its_inputs(workspace: Workspace) -> None:
    source = publish(workspace)
    tiles = publish(workspace, "tiles", inputs=(source,))
    manifest = json.loads((tiles.path / MANIFEST).read_text())
    assert manifest["inputs"] == [f"source/{source.ref}"]
    assert manifest["attribution"] == ["made for source", "made for tiles"]
    assert manifest["files"]["data"]["bytes"] == 2
    assert "seconds" not in json.dumps(manifest)


def test_a_failed_build_leaves_nothing_and_a_resumable_one_its_work(workspace: Workspace) -> None:
    for resume in (False, True):
        with pytest.raises(RuntimeError), workspace.build("models", "m", {"resume": resume}, resume=resume) as build:
            (build.partial / "checkpoint").write_text("half")
            raise RuntimeError
        assert build.partial.exists() == resume
        assert not workspace.artifacts("models")
    with workspace.build("models", "m", {"resume": True}, resume=True) as again:
        assert (again.partial / "checkpoint").read_text() == "half"
        again.publish()
    assert [a.name for a in workspace.artifacts("models")] == ["m"]


def test_a_directory_without_a_manifest_is_no_artifact_and_is_made_anew(workspace: Workspace) -> None:
    artifact = publish(workspace)
    (artifact.path / MANIFEST).unlink()
    with pytest.raises(NotFoundError):
        workspace.find("source", "r")
    assert publish(workspace).id == artifact.id
    assert workspace.find("source", "r").verify() == []


@pytest.mark.parametrize("damage", ["truncate", "delete", "manifest"])
def test_a_damaged_artifact_is_refused_with_the_command_that_makes_it(workspace: Workspace, damage: str) -> None:
    artifact = publish(workspace, "tiles")
    if damage == "truncate":
        (artifact.path / "data").write_bytes(b"")
    elif damage == "delete":
        (artifact.path / "data").unlink()
    else:
        (artifact.path / MANIFEST).write_text("{")
    with pytest.raises(DataError) as caught:
        workspace.find("tiles", "r")
    assert caught.value.hint == "geojepa tile --region r"
    assert publish(workspace, "tiles").verify() == []  # the stage does not take it for its result


@pytest.mark.parametrize("damage", ["truncate", "manifest", "schema"])
def test_a_damaged_newest_is_refused_and_no_older_one_taken_in_its_place(workspace: Workspace, damage: str) -> None:
    source, other = publish(workspace), publish(workspace, name="s")
    publish(workspace, "tiles", inputs=(source,), zoom=15)
    newest = publish(workspace, "tiles", inputs=(source,), zoom=16)
    if damage == "truncate":
        (newest.path / "data").write_bytes(b"")
    elif damage == "manifest":
        (newest.path / MANIFEST).write_text("{")
    else:
        (newest.path / MANIFEST).write_text(json.dumps({**newest.manifest, "schema": 99}))
    for find in (lambda: workspace.newest("tiles"), lambda: workspace.derived("tiles", "r", source)):
        with pytest.raises(DataError) as caught:
            find()
        assert caught.value.hint == "geojepa tile --region r"
    if damage != "manifest":  # it says what it was made of, which is something else
        with pytest.raises(NotFoundError):
            workspace.derived("tiles", "r", other)


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/etc/passwd", "a/../../data"])
def test_a_manifest_that_names_files_outside_of_its_folder_is_refused(workspace: Workspace, name: str) -> None:
    artifact = publish(workspace, "tiles")
    files = {name: {"bytes": 1, "sha256": "0"}}
    (artifact.path / MANIFEST).write_text(json.dumps({**artifact.manifest, "files": files}))
    with pytest.raises(DataError, match="outside of its folder"):
        workspace.find("tiles", "r")


@pytest.mark.parametrize("change", [{"id": "0" * 12}, {"kind": "source"}])
def test_a_manifest_of_another_artifact_is_refused(workspace: Workspace, change: dict[str, str]) -> None:
    artifact = publish(workspace, "tiles")
    (artifact.path / MANIFEST).write_text(json.dumps({**artifact.manifest, **change}))
    with pytest.raises(DataError, match="is of `"):
        workspace.find("tiles", "r")


def test_a_failed_run_leaves_neither_lock_nor_folder(workspace: Workspace) -> None:
    with pytest.raises(ZeroDivisionError), workspace.build("tiles", "r", {}):
        raise ZeroDivisionError
    assert not workspace.root.exists()
    publish(workspace)
    with pytest.raises(ZeroDivisionError), workspace.build("source", "s", {}):
        raise ZeroDivisionError
    assert [path.name for path in (workspace.root / "source").iterdir()] == [publish(workspace).path.name]


def test_a_changed_byte_is_found_by_verify(workspace: Workspace) -> None:
    artifact = publish(workspace)
    (artifact.path / "data").write_bytes(b"[]")
    assert workspace.find("source", "r").verify() == ["data"]


def test_an_artifact_of_another_schema_is_refused(workspace: Workspace) -> None:
    artifact = publish(workspace, "tiles")
    manifest = json.loads((artifact.path / MANIFEST).read_text())
    (artifact.path / MANIFEST).write_text(json.dumps({**manifest, "schema": 99}))
    with pytest.raises(DataError, match="has schema 99, this version reads"):
        workspace.find("tiles", "r")


def test_a_second_run_says_who_holds_the_lock_and_a_killed_one_does_not_hold_it(workspace: Workspace) -> None:
    script = (
        "import sys, time; from pathlib import Path; from geojepa_cli.workspace.workspace import Workspace\n"
        f"with Workspace(Path({str(workspace.root)!r})).build('source', 'r', {{}}) as build:\n"
        "    print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(BusyError, match=f"process {other.pid} "), workspace.build("source", "r", {}):
            pass
        other.kill()
        other.wait()
    assert publish(workspace).verify() == []


def test_a_mistyped_name_is_answered_with_the_nearest(workspace: Workspace) -> None:
    publish(workspace, name="harrisburg")
    with pytest.raises(NotFoundError, match="did you mean `harrisburg`"):
        workspace.find("source", "harisburg")
    with pytest.raises(NotFoundError) as caught:
        workspace.find("tiles", "harrisburg")
    assert caught.value.hint == "geojepa tile --region harrisburg"


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "x@y", ".hidden", "a b", "x" * 200])
def test_a_name_that_could_leave_the_workspace_is_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(UsageError), workspace.build("source", name, {}):
        pass
    assert not workspace.root.exists()


def test_two_names_need_a_choice(workspace: Workspace) -> None:
    publish(workspace, name="a")
    assert workspace.only("source") == "a"
    publish(workspace, name="b")
    with pytest.raises(UsageError, match="which of `a`, `b`"):
        workspace.only("source")


@pytest.mark.parametrize(
    "manifest", ['{"schema":1,"files":{}}', '{"schema":1,"files":[]}', '{"schema":1,"files":{"a":3}}']
)
def test_a_manifest_that_lacks_something_is_refused_and_named_by_damaged(workspace: Workspace, manifest: str) -> None:
    artifact = publish(workspace, "tiles")
    (artifact.path / MANIFEST).write_text(manifest)
    with pytest.raises(DataError):
        workspace.find("tiles", "r")
    assert list(workspace.damaged("tiles")) == [f"tiles/{artifact.ref}"]
    assert workspace.artifacts("tiles") == []


@pytest.mark.parametrize("ref", ["foo", "bogus/x", "/", "tiles"])
def test_a_reference_to_no_kind_is_a_usage_error(workspace: Workspace, ref: str) -> None:
    with pytest.raises(UsageError):
        workspace.at(ref)


def test_a_failed_run_that_could_be_resumed_leaves_only_what_holds_something(workspace: Workspace) -> None:
    for content in (False, True):
        with (
            pytest.raises(RuntimeError),
            workspace.build("models", "m", {"content": content}, resume=True) as build,
        ):
            (build.partial / "chunks").mkdir()
            if content:
                (build.partial / "chunks" / "0.npz").write_bytes(b"data")
            raise RuntimeError
        assert build.partial.exists() == content


def test_what_ended_runs_left_is_found_and_removed_and_what_a_run_works_on_is_not(workspace: Workspace) -> None:
    kept = publish(workspace)
    with pytest.raises(RuntimeError), workspace.build("models", "m", {}, resume=True) as failed:
        (failed.partial / "checkpoint").write_bytes(b"data")
        raise RuntimeError
    half = publish(workspace, zoom=3)
    (half.path / MANIFEST).unlink()
    with workspace.build("models", "running", {}, resume=True) as running:
        (running.partial / "checkpoint").write_bytes(b"data")
        assert workspace.leftovers() == [half.path, failed.partial]
        assert not workspace.remove_leftover(running.partial)
        assert running.partial.exists()
        running.publish()
    assert all(workspace.remove_leftover(path) for path in workspace.leftovers())
    assert workspace.leftovers() == []
    assert not half.path.exists() and not failed.partial.exists()
    assert workspace.find("source", "r").ref == kept.ref


def test_a_name_with_nothing_after_the_at_sign_is_not_the_newest(workspace: Workspace) -> None:
    publish(workspace)
    with pytest.raises(UsageError, match="no id after the `@`"):
        workspace.find("source", "r@")


def test_json_that_is_none_any_more_names_the_artifact_and_how_to_make_it_anew(workspace: Workspace) -> None:
    artifact = publish(workspace, zoom=16)
    data = (artifact.path / "data").read_bytes()
    assert artifact.read_json("data") == {"zoom": 16}
    (artifact.path / "data").write_bytes(b"{" * len(data))
    with pytest.raises(DataError, match="is not JSON") as caught:
        workspace.find("source", "r").read_json("data")
    hint = caught.value.hint or ""
    assert hint.startswith(f"rm -r {artifact.path} && geojepa fetch")
