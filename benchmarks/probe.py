"""Measures the time of probes: five tasks, three heads and three seeds on 20,000 vectors of 768 values.

The vectors of real tiles come from a workspace (TagPool). They are repeated with small random changes until there are
20,000, in zoom-14 groups apart from the real ones. All tasks have the test split of `build-tasks`. Prints JSON: wall
times by task, and the scores, which show that the heads learned something.

    python benchmarks/probe.py --workspace workspace --threads 2
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from geojepa_cli import console, stages
from geojepa_cli.errors import GeojepaError
from geojepa_cli.evaluate.folds import ProbeData, probe_data
from geojepa_cli.evaluate.probe import run_probe
from geojepa_cli.stages.probe_regions import tasks_of
from geojepa_cli.stages.probe_report import TileVectors
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.store.store import TileStore
from geojepa_cli.tasks.dataset import TaskData
from geojepa_cli.tasks.splits import split_groups
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

TASKS = ("bridge", "building_count", "car_bridge", "max_speed", "traffic_signals")
HEADS = ("linear", "mlp", "boosting")
GOAL_S = 180.0


def main() -> None:
    """Reads real vectors, adds made ones, probes, prints."""
    options = _options()
    workspace = Workspace(options.workspace)
    regions = _regions(workspace, options.region, options.real)
    vectors = [stages.embed(workspace, "tagpool", region)[0] for region in regions]
    torch.set_num_threads(1)
    names = [region.name for region in regions]
    store = TileStore.open([region.file(PROCESSED_FILE) for region in regions], names=names)
    result: dict[str, Any] = {"tiles": {}, "seconds": {}, "scores": {}}
    reader, rng = TileVectors(), np.random.default_rng(0)
    started = time.perf_counter()
    for task in TASKS:
        built = [workspace.derived("tasks", f"{region.name}.{task}", region) for region in regions]
        rows, real = probe_data(TaskData.open(store, built))
        x = reader.read(store, rows, vectors)
        data, x = _enlarge(real, x, options.vectors, options.width, rng)
        begun = time.perf_counter()
        found = run_probe(data, {"tagpool": x}, HEADS, seeds=3, threads=options.threads)
        result["seconds"][task] = round(time.perf_counter() - begun, 2)
        result["tiles"][task] = {"real": len(rows), "all": len(x), "width": x.shape[1], "trained": found.labels.tiles}
        result["scores"][task] = {score.head: score.relative for score in found.scores}
        console.note(f"{task}: {result['seconds'][task]} s")
    result |= {"heads": HEADS, "seeds": 3, "threads": options.threads, "regions": names}
    result["seconds_probes"] = round(sum(result["seconds"].values()), 2)
    result["seconds_all"] = round(time.perf_counter() - started, 2)
    result["goal_s"] = GOAL_S
    print(json.dumps(result, indent=1))


def _regions(workspace: Workspace, wanted: list[str] | None, tiles: int) -> list[Artifact]:
    """Returns the named regions or, by default, regions with all five tasks, until they have enough tiles."""
    if wanted:
        return [workspace.find("processed", name) for name in wanted]
    found: list[Artifact] = []
    count = 0
    for name in workspace.names("processed"):
        region = workspace.find("processed", name)
        if count < tiles and set(TASKS) <= set(tasks_of(workspace, [region])):
            made = workspace.derived("tasks", f"{name}.{TASKS[1]}", region)
            count += int(made.read_json("report.json")["tiles"]["eligible"])
            found.append(region)
    if not found:
        raise GeojepaError(f"no region in `{workspace.root}` has the tasks {', '.join(TASKS)}")
    return found


def _enlarge(
    data: ProbeData, x: NDArray[np.float32], tiles: int, width: int, rng: np.random.Generator
) -> tuple[ProbeData, NDArray[np.float32]]:
    """Returns data with the given number of tiles, all kept, and vectors of the given width.

    Added tiles are copies of real ones with noise of a tenth of the deviation of each value, and lie in new groups.
    """
    real = np.arange(min(len(x), tiles))
    source = np.concatenate([real, rng.integers(0, len(x), tiles - len(real))])
    columns = np.arange(width) % x.shape[1]
    noise = rng.normal(scale=0.1, size=(tiles, width)).astype(np.float32)
    noise[: len(real), : x.shape[1]] = 0.0
    made = x[source][:, columns] + noise * x.std(axis=0)[columns]
    shift = np.concatenate([np.zeros(len(real), np.int64), 1 + rng.integers(0, 3, tiles - len(real))])
    groups = data.groups[source] + (shift * 400 << 32)
    enlarged = ProbeData(
        labels=data.labels[source],
        kept=np.ones(tiles, bool),
        split=split_groups(groups, 0),
        groups=groups,
        clamp=data.clamp,
        binary=data.binary,
        absent=data.absent,
    )
    return enlarged, np.ascontiguousarray(made)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--region", action="append", help="region with real tiles; default: regions with all tasks")
    parser.add_argument("--real", type=int, default=8400, help="number of real tiles")
    parser.add_argument("--vectors", type=int, default=20_000, help="number of vectors")
    parser.add_argument("--width", type=int, default=768, help="number of values in a vector")
    parser.add_argument("--threads", type=int, default=2, help="number of heads to fit at the same time")
    return parser.parse_args()


if __name__ == "__main__":
    main()
