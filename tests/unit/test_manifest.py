"""Damaged artifacts: refused with the command that rebuilds them, and never used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from workspace_artifacts import hint_text, publish, rewrite_manifest

from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.workspace.manifest import MANIFEST
from geojepa_cli.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def test_a_directory_without_a_manifest_is_not_an_artifact_and_is_rebuilt(workspace: Workspace) -> None:
    artifact = publish(workspace)
    (artifact.path / MANIFEST).unlink()
    with pytest.raises(NotFoundError):
        workspace.find("source", "r")
    assert publish(workspace).id == artifact.id
    assert workspace.find("source", "r").verify() == []


@pytest.mark.parametrize("damage", ["truncate", "delete", "manifest"])
def test_a_damaged_artifact_is_refused_with_the_command_that_rebuilds_it(workspace: Workspace, damage: str) -> None:
    artifact = publish(workspace, "tiles")
    if damage == "truncate":
        (artifact.path / "data").write_bytes(b"")
    elif damage == "delete":
        (artifact.path / "data").unlink()
    else:
        (artifact.path / MANIFEST).write_text("{")
    with pytest.raises(DataError) as caught:
        workspace.find("tiles", "r")
    assert hint_text(caught.value) == f"geojepa --workspace {workspace.root} tile --region r"
    assert publish(workspace, "tiles").verify() == []  # the stage does not take it for its result


@pytest.mark.parametrize("damage", ["truncate", "manifest", "schema"])
def test_a_damaged_newest_is_refused_and_not_replaced_by_an_older_one(workspace: Workspace, damage: str) -> None:
    source, other = publish(workspace), publish(workspace, name="s")
    publish(workspace, "tiles", inputs=(source,), zoom=15)
    newest = publish(workspace, "tiles", inputs=(source,), zoom=16)
    if damage == "truncate":
        (newest.path / "data").write_bytes(b"")
    elif damage == "manifest":
        (newest.path / MANIFEST).write_text("{")
    else:
        rewrite_manifest(newest.path, schema=99)
    for find in (lambda: workspace.newest("tiles"), lambda: workspace.derived("tiles", "r", source)):
        with pytest.raises(DataError) as caught:
            find()
        assert hint_text(caught.value) == f"geojepa --workspace {workspace.root} tile --region r"
    if damage != "manifest":  # its manifest names its inputs, which are others
        with pytest.raises(NotFoundError):
            workspace.derived("tiles", "r", other)


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/etc/passwd", "a/../../data"])
def test_a_manifest_that_names_files_outside_of_its_folder_is_refused(workspace: Workspace, name: str) -> None:
    artifact = publish(workspace, "tiles")
    rewrite_manifest(artifact.path, files={name: {"bytes": 1, "sha256": "0"}})
    with pytest.raises(DataError, match="outside its folder"):
        workspace.find("tiles", "r")


@pytest.mark.parametrize("change", [{"id": "0" * 12}, {"kind": "source"}])
def test_a_manifest_of_another_artifact_is_refused(workspace: Workspace, change: dict[str, str]) -> None:
    artifact = publish(workspace, "tiles")
    rewrite_manifest(artifact.path, **change)
    with pytest.raises(DataError, match="belongs to `"):
        workspace.find("tiles", "r")


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"zoom": [16]}},
        {"parameters": {}},
        {"inputs": []},
        {"inputs": ["source/r@00"]},
        {"stage_version": 2},
    ],
)
def test_parameters_and_inputs_that_do_not_give_the_id_are_refused(workspace: Workspace, change: Any) -> None:
    artifact = publish(workspace, "tiles", inputs=(publish(workspace),), zoom=16)
    rewrite_manifest(artifact.path, **change)
    with pytest.raises(DataError, match="do not match the id"):
        workspace.find("tiles", "r")


def test_an_artifact_of_another_schema_is_refused(workspace: Workspace) -> None:
    artifact = publish(workspace, "tiles")
    rewrite_manifest(artifact.path, schema=99)
    with pytest.raises(DataError, match="has schema 99, this version reads"):
        workspace.find("tiles", "r")


@pytest.mark.parametrize(
    "manifest", ['{"schema":1,"files":{}}', "[]", "null", "3", '"text"', "{}", "", "\udcff", "[" * 100_000, "NaN"]
)
def test_a_manifest_of_another_form_is_refused_and_listed_as_damaged(workspace: Workspace, manifest: str) -> None:
    artifact = publish(workspace, "tiles")
    (artifact.path / MANIFEST).write_bytes(manifest.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match="is not a manifest"):
        workspace.find("tiles", "r")
    assert list(workspace.damaged("tiles")) == [artifact.full_ref]
    assert workspace.artifacts("tiles") == []


def test_the_counts_of_a_model_name_the_limit_that_stopped_it(workspace: Workspace) -> None:
    artifact = publish(workspace, "models")
    rewrite_manifest(artifact.path, counts={"steps": 1, "stopped_by": "max_steps"})
    assert workspace.find("models", artifact.name).counts["stopped_by"] == "max_steps"
    for damaged in (None, ["max_steps"]):
        rewrite_manifest(artifact.path, counts={"steps": 1, "stopped_by": damaged})
        with pytest.raises(DataError, match="`counts` is"):
            workspace.find("models", artifact.name)


WRONG: list[Any] = [None, True, 3, 1.5, "text", "", [], {}, [3], [None], ["text"], {"a": None}, {"a": {"b": "c"}}, [[]]]


@pytest.mark.parametrize(
    "key",
    ["kind", "id", "schema", "stage_version", "inputs", "parameters", "files", "counts", "attribution"],
)  # fmt: skip
def test_an_entry_of_another_type_is_a_clear_error_or_changes_nothing(workspace: Workspace, key: str) -> None:
    artifact = publish(workspace, "tiles", inputs=(publish(workspace),), zoom=16)
    original = (artifact.path / MANIFEST).read_text()
    refused = 0
    for value in WRONG:
        (artifact.path / MANIFEST).write_text(original)
        rewrite_manifest(artifact.path, **{key: value})
        try:
            found = workspace.find("tiles", "r")
        except DataError as error:
            refused += 1
            assert hint_text(error).endswith("tile --region r")
            assert list(workspace.damaged("tiles")) == [artifact.full_ref]
        else:
            assert key in ("attribution", "counts", "files") and found.manifest[key] == value
    assert refused >= len(WRONG) - 4
    entries = json.loads(original)
    del entries[key]
    (artifact.path / MANIFEST).write_text(json.dumps(entries))
    with pytest.raises(DataError, match=f"lacks '{key}'"):
        workspace.find("tiles", "r")


def test_a_renamed_copy_is_refused_with_the_command_that_deletes_it(workspace: Workspace) -> None:
    artifact = publish(workspace, "tiles", "town")
    copy = artifact.path.with_name(artifact.path.name.replace("town", "other"))
    shutil.copytree(artifact.path, copy)
    with pytest.raises(
        DataError, match=f"is a copy of the artifact `{artifact.full_ref}` under another name"
    ) as caught:
        workspace.find("tiles", "other")
    assert hint_text(caught.value) == f"rm -r '{copy}'" or hint_text(caught.value) == f"rm -r {copy}"
    assert workspace.artifacts("tiles") == [artifact] and list(workspace.damaged("tiles")) == [f"tiles/{copy.name}"]
