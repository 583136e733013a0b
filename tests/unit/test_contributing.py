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
import rasterio
import stac_server
from pyproj import Transformer
from rasterio.transform import from_origin
from raw_tokens import raw_tiles
from synthetic_workspace import add_region

from geojepa_cli import Workspace
from geojepa_cli.native import find_binary

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAX_BASELINE_LINES = 40
RUN_ALL = """
import json, sys
from geojepa_cli.app import main

for words in json.loads(sys.argv[1]):
    sys.argv = ["geojepa", *words]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


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


def run_commands(text: str, checkout: Path, workspace: Path, **words_for: str) -> str:
    """Runs the commands of a section with the copy of the package, in one new process; returns their output.

    Args:
        text: of the section.
        checkout: the copy, and the working directory.
        workspace: directory of the artifacts.
        words_for: what stands in place of words in capitals.
    """
    lines = [[words_for.get(word, word) for word in line.split()] for line in "".join(blocks(text, "sh")).splitlines()]
    assert lines and all(words[0] == "geojepa" for words in lines)
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps([["--workspace", str(workspace), *words[1:]] for words in lines])],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "GEOJEPA_TILER": str(find_binary())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{lines}\n{done.stderr}"
    return done.stdout


def test_every_command_knows_the_new_baseline(checkout: Path, workspace: Path) -> None:
    text = section("A baseline")
    (path,) = apply(text, checkout)
    assert len(path.read_text().splitlines()) <= MAX_BASELINE_LINES
    assert [line for line in blocks(text, "diff")[0].splitlines() if re.match(r"\+(?!\+)", line)][1:] == []
    found = Workspace(workspace)
    processed = found.find("processed", "town")
    tasks = "```sh\ngeojepa build-tasks --task building_count\n```\n"
    output = run_commands(tasks + text, checkout, workspace, TILE=_some_tile(processed.file("processed.h5")))
    assert output.count("mean_box") >= 4
    assert {artifact.name for artifact in found.artifacts("embeddings")} >= {"mean_box.town"}
    scores = found.find("probes", "building_count.mean_box").read_json("report.json")["scores"]
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


def test_images_of_the_new_collection_are_fetched_and_resampled(checkout: Path, tmp_path: Path, shared: Path) -> None:
    text = section("A source of imagery")
    apply(text, checkout)
    (checkout / "town.osm").write_text(
        '<osm version="0.6"><node id="1" lat="40.8" lon="-77.85"><tag k="amenity" v="cafe"/></node></osm>'
    )
    pixels = np.random.default_rng(0).integers(1, 256, (4, 600, 600), np.uint8)
    profile = {"driver": "GTiff", "width": 600, "height": 600, "count": 4, "dtype": "uint8", "crs": "EPSG:26918"}
    east, north = Transformer.from_crs("EPSG:4326", "EPSG:26918", always_xy=True).transform(-77.85, 40.8)
    with rasterio.open(
        tmp_path / "sheet.tif", "w", **profile, transform=from_origin(east - 600, north + 600, 2, 2)
    ) as out:
        out.write(pixels)
    with stac_server.serve() as server:
        server.add(tmp_path / "sheet.tif", stac_server.recorded(shared, "naip-search-intersects")[0], date="2024-05-01")
        run_commands(text, checkout, tmp_path / "workspace", URL=server.url)
        assert server.searches[-1]["collections"] == ["state-orthophotos-20cm"]
    images = Workspace(tmp_path / "workspace").find("images", "town")
    assert images.counts["images"] == 1
    assert "Orthophotos: State Surveying Office, CC BY 4.0" in images.attribution


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
