"""Benchmark of building all packed tasks, in both variants, for every processed region of a workspace.

    python benchmarks/tasks.py --workspace workspace [--repeat 3] [--profile]

The measured run does the work of `geojepa build-tasks`: labels, splits, views, reports and manifests, from opening the
first region to the last rename. A second run measures the command, including interpreter and imports. The workspace is
not changed: tasks are written to a temporary workspace that links to its data. Prints seconds, and bytes relative to
the store, as one JSON object.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from geojepa_cli.stages.filters import Filters
from geojepa_cli.stages.tasks import REPORT_FILE, TaskSettings, find_specs, make_tasks
from geojepa_cli.tasks.splits import SplitRule
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

LIMIT_S, LIMIT_SHARE = 10.0, 0.01
VIEWS = ("labels.h5", "views.h5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="print a profile on stderr")
    arguments = parser.parse_args()
    times = []
    for _ in range(arguments.repeat):
        with tempfile.TemporaryDirectory(prefix="tasks-") as folder:
            times.append(build(linked(arguments.workspace, Path(folder)), arguments.profile))
    with tempfile.TemporaryDirectory(prefix="tasks-") as folder:
        workspace = linked(arguments.workspace, Path(folder))
        command_s = run_command(workspace)
        result = sizes(workspace)
    best = min(times)
    shares = {name: result[name] / result["store_bytes"] for name in ("label_and_view_bytes", "artifact_bytes")}
    result |= {
        "seconds": round(best, 2),
        "seconds_all": [round(seconds, 2) for seconds in times],
        "command_seconds": round(command_s, 2),
        "tiles_per_second": round(result["eligible_tiles"] / best),
        "share_of_store": round(shares["label_and_view_bytes"], 5),
        "share_with_reports": round(shares["artifact_bytes"], 5),
        "limits": {"seconds": LIMIT_S, "share": LIMIT_SHARE},
        "passed": command_s < LIMIT_S and shares["artifact_bytes"] < LIMIT_SHARE,
    }
    print(json.dumps(result, indent=1))


def linked(workspace: Path, folder: Path) -> Workspace:
    """Creates a workspace that links to the regions of another, without its tasks."""
    for kind in ("source", "tiles", "processed"):
        (folder / kind).mkdir()
        for path in (workspace / kind).iterdir():
            if path.is_dir() and not path.name.endswith(".partial"):
                (folder / kind / path.name).symlink_to(path.resolve())
    return Workspace(folder)


def regions_of(workspace: Workspace) -> list[Artifact]:
    """Returns the newest version of each region."""
    return [workspace.find("processed", name) for name in workspace.names("processed")]


def build(workspace: Workspace, profile: bool) -> float:
    """Returns the seconds for all tasks of all regions."""
    profiler = cProfile.Profile()
    started = time.perf_counter()
    if profile:
        profiler.enable()
    make_tasks(workspace, regions_of(workspace), find_specs(None), TaskSettings(SplitRule(), Filters()))
    if profile:
        profiler.disable()
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(35)
    return time.perf_counter() - started


def run_command(workspace: Workspace) -> float:
    """Returns the seconds of `geojepa build-tasks` over all regions."""
    names = [argument for name in workspace.names("processed") for argument in ("--region", name)]
    command = [sys.executable, "-P", "-m", "geojepa_cli", "--workspace", str(workspace.root), "build-tasks", *names]
    started = time.perf_counter()
    subprocess.run([*command, "--json"], check=True, stdout=subprocess.DEVNULL, env=os.environ)
    return time.perf_counter() - started


def sizes(workspace: Workspace) -> dict[str, int]:
    """Returns the bytes of the store and of the tasks, and the number of tiles and tasks."""
    regions, tasks = regions_of(workspace), workspace.artifacts("tasks")
    reports = [task.read_json(REPORT_FILE) for task in tasks]
    files = [(name, entry["bytes"]) for task in tasks for name, entry in task.manifest["files"].items()]
    most = {task.name.rpartition(".")[0]: 0 for task in tasks}
    for task, report in zip(tasks, reports, strict=True):
        name = task.name.rpartition(".")[0]
        most[name] = max(most[name], report["tiles"]["within_limits"])
    return {
        "regions": len(regions),
        "tasks": len(tasks),
        "tiles": sum(most.values()),
        "eligible_tiles": sum(report["tiles"]["eligible"] for report in reports),
        "store_bytes": sum(region.file("processed.h5").stat().st_size for region in regions),
        "label_and_view_bytes": sum(size for name, size in files if name in VIEWS),
        "artifact_bytes": sum(size for _, size in files),
    }


if __name__ == "__main__":
    main()
