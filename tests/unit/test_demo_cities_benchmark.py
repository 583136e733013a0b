"""`benchmarks/demo_cities.py`: cities with images, of which each lies at another place."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from geojepa_cli import Workspace

ROOT = Path(__file__).resolve().parents[2]


def load() -> Any:
    spec = importlib.util.spec_from_file_location("demo_cities_benchmark", ROOT / "benchmarks/demo_cities.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.mark.slow  # draws and describes two small cities
def test_each_seed_is_a_region_at_another_place_with_an_image_of_every_tile(tmp_path: Path) -> None:
    script, workspace = load(), Workspace(tmp_path / "workspace")
    given = ["--workspace", str(workspace.root), "--size", "small"]
    script.main([*given, "--seed", "0", "--seed", "2"])
    tiles, images = {}, {}
    for name in ("city-0", "city-2"):
        with h5py.File(workspace.find("processed", name).file("processed.h5")) as file:
            tiles[name] = {(int(x), int(y)) for x, y in zip(file["tile/x"], file["tile/y"], strict=True)}
        with h5py.File(workspace.find("images", name).file("images.h5")) as file:
            images[name] = np.array(file["image"])
        assert workspace.find("features", name) and workspace.find("photos", name).counts["photos"] > 32
    assert len(tiles["city-0"]) == 64 == len(images["city-0"])
    assert tiles["city-2"] == {(x + 2 * 64, y) for x, y in tiles["city-0"]}
    assert (images["city-0"] != images["city-2"]).any(axis=(1, 2, 3)).mean() > 0.9  # another city, not the same one
    before = [one.full_ref for one in workspace.artifacts("processed")]
    script.main([*given, "--seed", "0"])
    assert [one.full_ref for one in workspace.artifacts("processed")] == before
