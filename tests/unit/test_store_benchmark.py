"""The benchmark of the store runs, and its peer reads the same tokens. Its measurements are ignored."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from synthetic_store import write_synthetic_processed

from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "store.py"


def test_the_benchmark_reads_every_tile_of_all_regions_and_its_peer_gives_the_same_tokens(tmp_path: Path) -> None:
    paths = [write_synthetic_processed(tmp_path / f"r{i}@0" / "processed.h5", seed=i, n_tiles=12) for i in range(2)]
    options = ["--repeat", "1", "--peer-tiles", "9", "--budget", "40"]
    done = subprocess.run([sys.executable, SCRIPT, *paths, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    store = TileStore.open(paths)
    view = View.default(store)
    assert (result["tiles"], result["entities"]) == (len(view.tiles), int(store.lengths(view).sum()))
    assert result["peer"]["tiles"] == 9
