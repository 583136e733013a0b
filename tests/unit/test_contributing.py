"""CONTRIBUTING.md: its files and changes are applied to a copy of the package, and its commands run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from raw_tokens import raw_tiles
from synthetic_workspace import add_region

from geojepa_cli import Workspace

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAX_BASELINE_LINES = 40


def section(title: str) -> str:
    (text,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, flags=re.M | re.S)
    return str(text)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package and the tasks, without the binary."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "geojepa_cli", root / "geojepa_cli", ignore=shutil.ignore_patterns("__pycache__", "bin"))
    shutil.copytree(ROOT / "tasks", root / "tasks")
    return root


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    add_region(Workspace(root), "town", seed=1, n_tiles=400)
    return root


def apply(text: str, root: Path) -> list[Path]:
    """Writes the files of a section and applies its changes; returns the files written."""
    written = []
    for block in blocks(text, "python") + blocks(text, "yaml"):
        first, _, content = block.partition("\n")
        path = root / first.removeprefix("# ")
        assert not path.exists(), path
        path.write_text(content, encoding="utf-8")
        written.append(path)
    for diff in blocks(text, "diff"):
        for name, change in re.findall(r"^--- a/(\S+)\n\+\+\+ b/\S+\n(.*?)(?=^--- |\Z)", diff, flags=re.M | re.S):
            _change(root / name, change)
    return written


def _change(path: Path, change: str) -> None:
    """Inserts the added lines of each hunk after its context, which must stand once in the file."""
    content = path.read_text(encoding="utf-8")
    for hunk in re.split(r"^@@.*\n", change, flags=re.M)[1:]:
        lines = hunk.splitlines(keepends=True)
        context = "".join(line[1:] for line in lines if line.startswith(" "))
        assert content.count(context) == 1, f"{path}: {context}"
        content = content.replace(context, "".join(line[1:] for line in lines))
    path.write_text(content, encoding="utf-8")


def run_commands(text: str, checkout: Path, workspace: Path, tile: str = "") -> str:
    """Runs the commands of a section with the copy of the package; returns their output."""
    output = ""
    for line in "".join(blocks(text, "sh")).splitlines():
        words = line.replace("TILE", tile).split()
        assert words[0] == "geojepa"
        done = subprocess.run(
            [sys.executable, "-m", "geojepa_cli", "--workspace", workspace, *words[1:]],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        output += done.stdout
    return output


def test_every_command_knows_the_new_baseline(checkout: Path, workspace: Path) -> None:
    text = section("A baseline")
    (path,) = apply(text, checkout)
    assert len(path.read_text().splitlines()) <= MAX_BASELINE_LINES
    assert [line for line in blocks(text, "diff")[0].splitlines() if re.match(r"\+(?!\+)", line)][1:] == []
    found = Workspace(workspace)
    run_commands("```sh\ngeojepa build-tasks --task building_count\n```\n", checkout, workspace)
    processed = found.find("processed", "town")
    output = run_commands(text, checkout, workspace, _some_tile(processed.file("processed.h5")))
    assert output.count("mean_box") >= 4
    assert {artifact.name for artifact in found.artifacts("embeddings")} >= {"mean_box.town"}
    scores = found.find("probes", "building_count.mean_box").read_json("report.json")["figures"]
    assert {score["model"] for score in scores} >= {"mean_box", "tagpool", "dummy"}


def test_the_new_task_is_built_and_analysed(checkout: Path, workspace: Path) -> None:
    text = section("A task")
    apply(text, checkout)
    output = run_commands(text, checkout, workspace)
    assert "highway=crossing" in output
    processed = Workspace(workspace).find("processed", "town").file("processed.h5")
    labels = Workspace(workspace).find("tasks", "town.crossings").file("labels.h5")
    with h5py.File(labels) as file:
        counted = file["label"][...]
    expected = [sum(token.tags.get("highway") == "crossing" for token in tokens) for _, tokens in raw_tiles(processed)]
    np.testing.assert_array_equal(counted, expected)


def test_the_new_loss_is_trained_with_and_logged(checkout: Path, workspace: Path) -> None:
    text = section("A loss")
    apply(text, checkout)
    run_commands(text, checkout, workspace)
    model = Workspace(workspace).find("models", "cosine")
    lines = [json.loads(line) for line in model.file("metrics.jsonl").read_text().splitlines()]
    assert 0 < lines[-1]["cosine"] < 2


def _some_tile(path: Path) -> str:
    from geojepa_cli.store.reader import RegionStore

    region = RegionStore(path, "town")
    return "_".join(str(region[f"tile/{axis}"][60]) for axis in "zxy")
