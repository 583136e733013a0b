"""`benchmarks/export.py`: the memory of an export does not grow with the region."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_embeddings import write_synthetic_embeddings
from synthetic_store import write_synthetic_processed

from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks/export.py"


def run(tmp_path: Path, *options: object) -> list[dict[str, float]]:
    processed = write_synthetic_processed(tmp_path / "processed.h5", 1, 160)
    store = TileStore.open([processed])
    view = View.default(store, 1, None)
    rng, n = np.random.default_rng(0), int(store.lengths(view).sum())
    vectors = rng.normal(size=(len(view.tiles), 32)), rng.normal(size=(n, 32))
    embeddings = write_synthetic_embeddings(tmp_path / "embeddings.h5", store, view, *vectors)
    words = [sys.executable, BENCHMARK, processed, embeddings, *map(str, options)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sizes: list[dict[str, float]] = json.loads(done.stdout)["sizes"]
    return sizes


def test_the_benchmark_runs(tmp_path: Path) -> None:
    (size,) = run(tmp_path, "--times", 1, "--dtype", "int8", "--width", 40)
    assert size["rows"] > 100 and size["peak_mb"] >= size["peak_mb_before"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["geoparquet", "gpkg"])
def test_memory_does_not_grow_with_the_region(tmp_path: Path, kind: str) -> None:
    small, large = run(tmp_path, "--times", 100, 500, "--width", 512, "--format", kind)
    assert large["rows"] == 5 * small["rows"]
    growth = (large["peak_mb"] - large["peak_mb_before"]) - (small["peak_mb"] - small["peak_mb_before"])
    assert growth < 0.25 * (large["vectors_mb"] - small["vectors_mb"])  # positions and order of the rows
