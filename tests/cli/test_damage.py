"""Damaged artifacts of every kind: a clear error, a hint that is a command, and a workspace that can be repaired."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commandline import COMMAND
from demo_workspace import DemoCity
from forked_commands import Done, hint_of, restored, run_forked, run_here
from hint_commands import check_hint, split_hint

from geojepa_cli.workspace.kinds import KINDS

TILE = "16_18052_25957"
ENTITY = "way/304"
# a command that reads the artifacts of a kind and has not been run on the demo city
READERS: dict[str, list[str]] = {
    "source": ["tile", "--zoom", "15"],
    "tiles": ["process", "--simplify-m", "1", "--text-encoder", "none"],
    "images": ["knn", "--tile", TILE, "--k", "2", "--html", "--threads", "1"],
    "processed": ["build-tasks", "--task", "bridge", "--min-entities", "6"],
    "features": ["embed", "--model", "tagpool", "--max-entities", "900", "--threads", "1"],
    "tasks": ["probe", "--task", "bridge", "--model", "tagpool", "--head", "linear", "--threads", "1"],
    "models": ["embed", "--model", "demo", "--max-entities", "900", "--threads", "1"],
    "embeddings": ["knn", "--tile", TILE, "--k", "3", "--threads", "1"],
    "probes": ["probe", "--task", "bridge", "--masked", "--head", "linear", "--threads", "1"],
    "neighbours": ["knn", "--tile", TILE, "--html", "--threads", "1"],
    "reports": ["report"],
}


@pytest.fixture(scope="module")
def workspace(demo_city: DemoCity) -> Path:
    """The demo city's workspace. Every reader succeeds on it, which also imports what child processes need."""
    made = demo_city.folder / "workspace"
    assert run_here(made, ["report"]) == 0
    for arguments in READERS.values():
        with restored(made):
            assert run_here(made, arguments) == 0
    return made


def newest(workspace: Path, kind: str) -> Path:
    """The directory of the artifact of a kind that its reader takes."""
    name = {"tasks": "demo.bridge", "probes": "bridge.demo", "embeddings": "demo.demo"}.get(kind, "*")
    found = sorted((workspace / kind).glob(f"{name}@*"))
    (path,) = found if kind != "embeddings" else [path for path in found if of_all_tiles(path)]
    return path


def of_all_tiles(embeddings: Path) -> bool:
    """True for the vectors that `knn` reads, which are not those of a task."""
    return json.loads((embeddings / "manifest.json").read_text())["parameters"]["task"] is None


def replace(path: Path, content: bytes) -> None:
    """Writes a new file in place of a linked one."""
    path.unlink()
    path.write_bytes(content)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in (len(data) // 3, len(data) // 2, 2 * len(data) // 3):
        data[place] ^= 0xFF
    replace(path, bytes(data))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated": lambda path: replace(path, path.read_bytes()[:-7]),
    "flipped": flip,
    "deleted": lambda path: path.unlink(),
    "zeroed": lambda path: replace(path, bytes(path.stat().st_size)),
}


def files_of(artifact: Path) -> list[str]:
    """The files that the manifest names, of many image tiles one."""
    names = list(json.loads((artifact / "manifest.json").read_text())["files"])
    return [name for name in names if not name.startswith("imagery/")] + [n for n in names if n.startswith("imagery/")][
        :1
    ]


def assert_clear(done: Done) -> None:
    """An error has an exit code that it means, and a hint that is a command."""
    assert done.code in (1, 2), done
    assert done.error.count("error: ") == 1 and "Traceback" not in done.error, done.error
    check_hint(hint_of(done))


def test_every_kind_of_artifact_has_a_reader() -> None:
    # no command reads them, except to find out that they exist
    unread = {
        "entity_probes", "exports", "heatmaps", "photos", "point_probes", "retrieval", "reviews", "sweeps",
    }  # fmt: skip
    assert set(READERS) == set(KINDS) - unread


def overwrite(first: int, last: int) -> Callable[[Path], None]:
    """Returns a damage that inverts the bytes `first` to `last` of a file."""

    def damage(path: Path) -> None:
        data = path.read_bytes()
        replace(path, data[:first] + bytes(byte ^ 0xFF for byte in data[first:last]) + data[last:])

    return damage


HEADERS: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: replace(path, b""),
    "half": lambda path: replace(path, path.read_bytes()[: path.stat().st_size // 2]),
    "one byte more": lambda path: replace(path, path.read_bytes() + b"x"),
    "signature": overwrite(0, 8),
    "superblock": overwrite(8, 96),
    **{f"bytes from {first}": overwrite(first, first + 256) for first in range(96, 96 + 24 * 256, 256)},
}


@pytest.mark.parametrize("query", [["--tile", TILE], ["--entity", ENTITY]])
def test_damaged_headers_of_embeddings_are_refused_or_change_no_result(workspace: Path, query: list[str]) -> None:
    command = ["knn", *query, "--k", "4"]  # as many threads as `demo`: on some CPUs, the number changes the last bits
    with restored(workspace):
        assert run_forked(workspace, command).code == 0
        (made,) = [
            path
            for path in workspace.glob("neighbours/*")
            if json.loads((path / "manifest.json").read_text())["parameters"]["k"] == 4
        ]
        expected, name = (made / "neighbours.json").read_bytes(), made.name
    refused = set()
    for what, damage in HEADERS.items():
        with restored(workspace):
            path = newest(workspace, "embeddings") / "embeddings.h5"
            before = path.read_bytes()
            damage(path)
            done = run_forked(workspace, command)
            if done.code:
                assert_clear(done)
                assert "embeddings.h5" in done.error, (what, done)
                refused.add(what)
                continue
            assert (workspace / "neighbours" / name / "neighbours.json").read_bytes() == expected, what
            rebuilt = path.read_bytes() == before
            assert rebuilt == (what in ("empty", "half", "one byte more")), what
    assert {"signature", "superblock"} <= refused


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_is_refused_rebuilt_or_found_by_verify(workspace: Path, kind: str, damage: str) -> None:
    for name in files_of(newest(workspace, kind)):
        with restored(workspace):
            artifact = newest(workspace, kind)
            DAMAGES[damage](artifact / name)
            done = run_forked(workspace, READERS[kind])
            if done.code != 0:
                assert_clear(done)
            verified = run_forked(workspace, ["artifacts", "--verify"])
            if verified.code != 0:
                assert_clear(verified)
                assert artifact.name in verified.error
            else:  # the command rebuilt it
                assert done.code == 0 and (artifact / "manifest.json").exists(), (name, done)
            listed = run_forked(workspace, ["artifacts"])
            assert listed.code == 0
            if damage in ("truncated", "deleted") and verified.code != 0:
                assert f"`{kind}/{artifact.name}` is damaged" in " ".join(listed.error.split())


WRONG: list[Any] = [None, 3, "text", [3], {"a": "b"}]
MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "not an object": lambda manifest: [manifest],
    "nothing": lambda manifest: {},
    **{f"{key} of another type": lambda manifest, key=key: manifest | {key: {"a": ["b"]}} for key in
       ("kind", "id", "schema", "inputs", "parameters", "files", "counts", "attribution")},
    "inputs of numbers": lambda manifest: manifest | {"inputs": [3, None]},
    "counts without names": lambda manifest: manifest | {"counts": {}},
    "other parameters": lambda manifest: manifest | {"parameters": {"task": 3, "tile": [1], "masked": "x", "seed": {}}},
}  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_manifest_never_ends_a_command_with_a_bug(workspace: Path, kind: str) -> None:
    for what, change in MANIFESTS.items():
        with restored(workspace):
            path = newest(workspace, kind) / "manifest.json"
            replace(path, json.dumps(change(json.loads(path.read_text()))).encode())
            for command in (READERS[kind], ["artifacts"]):
                done = run_forked(workspace, command)
                assert done.code in (0, 1, 2), (what, command, done)
                if done.code:
                    assert_clear(done)


def test_pruning_and_lineage_survive_every_damaged_manifest(workspace: Path) -> None:
    with restored(workspace):
        for kind in READERS:
            path = newest(workspace, kind) / "manifest.json"
            replace(path, json.dumps(json.loads(path.read_text()) | {"inputs": [3]}).encode())
        (other,) = workspace.glob("tasks/demo.max_speed@*")
        commands = (
            ["--lineage", f"tasks/{other.name}"],
            ["--lineage", "tiles/demo"],
            ["--prune", "--yes"],
            ["--json"],
            ["--verify"],
        )
        codes = [run_forked(workspace, ["artifacts", *command]) for command in commands]
        assert [done.code for done in codes] == [0, 1, 0, 0, 1], codes
        assert_clear(codes[1])


def paste_here(hint: str, workspace: Path) -> None:
    """Does what the hint says; commands of geojepa run in child processes."""
    for words in split_hint(hint):
        if words[:2] == ["rm", "-r"]:
            shutil.rmtree(words[2])
        else:
            assert words[0] == "geojepa", hint
            done = run_forked(workspace, words[1:])
            assert done.code == 0, (hint, done)


def paste_in_shell(hint: str, workspace: Path) -> None:
    """Gives the hint to a shell, which finds `geojepa` in its path."""
    program = workspace.with_name("geojepa")
    program.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{workspace.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["sh", "-c", hint], capture_output=True, text=True, env=environment, cwd=workspace.parent)
    assert done.returncode == 0, (hint, done.stderr)


def check_repair(workspace: Path, kind: str, name: str, damage: str, paste: Callable[[str, Path], None]) -> None:
    """Damages a file of an artifact. The hint of `artifacts --verify` makes the same file again."""
    with restored(workspace):
        artifact = newest(workspace, kind)
        before = (artifact / name).read_bytes()
        DAMAGES[damage](artifact / name)
        refused = run_forked(workspace, ["artifacts", "--verify"])
        assert_clear(refused)
        hint = hint_of(refused)
        assert [words[0] for words in split_hint(hint)][-1] == "geojepa"
        paste(hint, workspace)
        assert (artifact / name).read_bytes() == before
        assert run_forked(workspace, ["artifacts", "--verify"]).code == 0


@pytest.mark.parametrize(
    ("kind", "name"),
    [("tiles", "tiles.h5"), ("processed", "processed.h5"), ("features", "tags.h5"), ("tasks", "labels.h5"),
     ("neighbours", "neighbours.json"), ("images", "images.h5")],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["truncated", "zeroed"])
def test_the_command_of_the_hint_repairs_the_artifact(workspace: Path, kind: str, name: str, damage: str) -> None:
    check_repair(workspace, kind, name, damage, paste_here)


def test_the_hint_can_be_pasted_into_a_shell(workspace: Path) -> None:
    check_repair(workspace, "tiles", "tiles.h5", "truncated", paste_in_shell)
